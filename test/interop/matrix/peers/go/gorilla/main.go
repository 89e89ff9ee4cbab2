// The library gorilla/websocket as a peer: `gorilla server`, or `gorilla client URL`.
package main

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"interop/peer"
)

type conn struct {
	*websocket.Conn
	writing sync.Mutex
	pongs   chan string
}

func wrap(ws *websocket.Conn) *conn {
	c := &conn{Conn: ws, pongs: make(chan string, 1)}
	ws.SetPongHandler(func(data string) error {
		c.pongs <- data
		return nil
	})
	return c
}

func (c *conn) Write(text bool, message []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if text {
		return c.WriteMessage(websocket.TextMessage, message)
	}
	return c.WriteMessage(websocket.BinaryMessage, message)
}

// A frame leaves whenever the write buffer, which is small here, is full.
func (c *conn) WriteFragments(parts ...string) error {
	return c.Write(true, []byte(strings.Join(parts, "")))
}

func (c *conn) Read() (bool, []byte, error) {
	kind, message, err := c.ReadMessage()
	return kind == websocket.TextMessage, message, err
}

func (c *conn) Ping(data string, reads bool) error {
	if err := c.WriteControl(websocket.PingMessage, []byte(data), time.Now().Add(5*time.Second)); err != nil {
		return err
	}
	if reads {
		// A Pong is only seen by reading: an echo comes behind it
		c.Write(true, []byte("behind"))
		if _, message, err := c.Read(); err != nil || string(message) != "behind" {
			return errors.Join(err, errors.New("no echo behind the Pong"))
		}
	}
	select {
	case pong := <-c.pongs:
		if pong != data {
			return errors.New("a Pong with other data")
		}
		return nil
	case <-time.After(5 * time.Second):
		return errors.New("no Pong")
	}
}

func (c *conn) Close(code int, reason string) error {
	err := c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(5*time.Second))
	if err != nil {
		return err
	}
	_, _, err = c.Read()
	if answered, _ := c.Ended(err); answered != code {
		return err
	}
	return c.Conn.Close()
}

func (c *conn) Ended(err error) (int, string) {
	var closed *websocket.CloseError
	if errors.As(err, &closed) {
		return closed.Code, closed.Text
	}
	return 0, ""
}

func dial(url string, subprotocols []string, compress, small bool) (peer.Conn, bool, error) {
	dialer := websocket.Dialer{Subprotocols: subprotocols, EnableCompression: compress}
	if small {
		dialer.WriteBufferSize = 4
	}
	ws, response, err := dialer.Dial(url, nil)
	if err != nil {
		return nil, false, err
	}
	return wrap(ws), strings.Contains(response.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate"), nil
}

func main() {
	if os.Args[1] == "client" {
		peer.Check(os.Args[2], dial)
		return
	}
	peer.Serve(func(w http.ResponseWriter, r *http.Request) {
		upgrader := websocket.Upgrader{Subprotocols: []string{"interop"}, EnableCompression: true}
		if r.URL.Path == "/fragments" {
			upgrader.WriteBufferSize = 4
		}
		if ws, err := upgrader.Upgrade(w, r, nil); err == nil {
			peer.Answer(wrap(ws))
			ws.Close()
		}
	})
}
