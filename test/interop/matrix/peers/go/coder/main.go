// The library coder/websocket as a peer: `coder server`, or `coder client URL`.
package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"

	"github.com/coder/websocket"

	"interop/peer"
)

type conn struct {
	*websocket.Conn
}

func (c conn) Write(text bool, message []byte) error {
	return c.Conn.Write(context.Background(), kind(text), message)
}

func kind(text bool) websocket.MessageType {
	if text {
		return websocket.MessageText
	}
	return websocket.MessageBinary
}

// Each Write is a frame.
func (c conn) WriteFragments(parts ...string) error {
	writer, err := c.Writer(context.Background(), websocket.MessageText)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if _, err := writer.Write([]byte(part)); err != nil {
			return err
		}
	}
	return writer.Close()
}

func (c conn) Read() (bool, []byte, error) {
	kind, message, err := c.Conn.Read(context.Background())
	return kind == websocket.MessageText, message, err
}

// The library chooses the data itself.
func (c conn) Ping(data string, reads bool) error {
	if !reads {
		return c.Conn.Ping(context.Background())
	}
	// A Pong is only seen while somebody reads: an echo behind it ends the read
	read := make(chan error, 1)
	go func() {
		_, message, err := c.Read()
		if err == nil && string(message) != "behind" {
			err = errors.New("no echo behind the Pong")
		}
		read <- err
	}()
	if err := c.Conn.Ping(context.Background()); err != nil {
		return err
	}
	if err := c.Write(true, []byte("behind")); err != nil {
		return err
	}
	return <-read
}

func (c conn) Close(code int, reason string) error {
	return c.Conn.Close(websocket.StatusCode(code), reason)
}

func (c conn) Ended(err error) (int, string) {
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		return int(closed.Code), closed.Reason
	}
	return 0, ""
}

func mode(compress bool) websocket.CompressionMode {
	if compress {
		return websocket.CompressionContextTakeover
	}
	return websocket.CompressionDisabled
}

func dial(url string, subprotocols []string, compress, _ bool) (peer.Conn, bool, error) {
	options := &websocket.DialOptions{Subprotocols: subprotocols, CompressionMode: mode(compress)}
	ws, response, err := websocket.Dial(context.Background(), url, options)
	if err != nil {
		return nil, false, err
	}
	ws.SetReadLimit(1 << 24)
	return conn{ws}, strings.Contains(response.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate"), nil
}

func main() {
	if os.Args[1] == "client" {
		peer.Check(os.Args[2], dial)
		return
	}
	peer.Serve(func(w http.ResponseWriter, r *http.Request) {
		options := &websocket.AcceptOptions{Subprotocols: []string{"interop"}, CompressionMode: mode(true)}
		if ws, err := websocket.Accept(w, r, options); err == nil {
			ws.SetReadLimit(1 << 24)
			peer.Answer(conn{ws})
			ws.CloseNow()
		}
	})
}
