// Package peer holds what the two Go libraries are asked for as peers. See ../../../README.md.
package peer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// Conn is a connection of a library.
type Conn interface {
	Write(text bool, message []byte) error
	// WriteFragments sends a text message in several frames.
	WriteFragments(parts ...string) error
	Read() (text bool, message []byte, err error)
	// Ping returns when the Pong is there. If reads, nobody else reads.
	Ping(data string, reads bool) error
	Close(code int, reason string) error
	// Ended returns code and reason that the peer closed with, of an error of Read.
	Ended(err error) (code int, reason string)
	Subprotocol() string
}

// Dial opens a connection; it tells whether the response names permessage-deflate.
type Dial func(url string, subprotocols []string, compress, small bool) (conn Conn, compressed bool, err error)

// Serve listens, and ends with standard input.
func Serve(handler http.HandlerFunc) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("listening", listener.Addr().(*net.TCPAddr).Port)
	go http.Serve(listener, handler)
	io.Copy(io.Discard, os.Stdin)
}

// Answer echoes messages and does what some of them ask for.
func Answer(conn Conn) {
	for {
		text, message, err := conn.Read()
		if err != nil {
			return
		}
		command, rest, _ := strings.Cut(string(message), " ")
		switch {
		case text && command == "close":
			var code int
			fmt.Sscan(rest, &code)
			_, reason, _ := strings.Cut(rest, " ")
			conn.Close(code, reason)
			return
		case text && command == "ping":
			go func() {
				if conn.Ping(rest, false) == nil {
					conn.Write(true, []byte("pong "+rest))
				}
			}()
		case text && command == "fragments":
			err = conn.WriteFragments("frag", "men", "ted")
		default:
			err = conn.Write(text, message)
		}
		if err != nil {
			return
		}
	}
}

// Check runs the checks of a client and prints their outcomes.
func Check(url string, dial Dial) {
	echoes := func(conn Conn, text bool, message []byte) error {
		if err := conn.Write(text, message); err != nil {
			return err
		}
		return expect(conn, text, message)
	}
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	checks := []struct {
		name string
		run  func(conn Conn) error
	}{
		{"text", func(conn Conn) error { return echoes(conn, true, []byte("Grüße, 世界 😀")) }},
		{"binary", func(conn Conn) error { return echoes(conn, false, all) }},
		{"large", func(conn Conn) error { return echoes(conn, false, bytes.Repeat(all, 4096)) }},
		{"fragments", func(conn Conn) error {
			if err := conn.WriteFragments("frag", "men", "ted"); err != nil {
				return err
			}
			if err := expect(conn, true, []byte("fragmented")); err != nil {
				return err
			}
			conn.Write(true, []byte("fragments"))
			return expect(conn, true, []byte("fragmented"))
		}},
		{"ping", func(conn Conn) error {
			if err := conn.Ping("hello", true); err != nil {
				return err
			}
			conn.Write(true, []byte("ping back"))
			return expect(conn, true, []byte("pong back"))
		}},
		{"close", func(conn Conn) error {
			return conn.Close(4002, "done")
		}},
		{"closed", func(conn Conn) error {
			conn.Write(true, []byte("close 4001 bye"))
			_, _, err := conn.Read()
			if code, reason := conn.Ended(err); code != 4001 || reason != "bye" {
				return fmt.Errorf("%d %q", code, reason)
			}
			return nil
		}},
		{"subprotocol", func(conn Conn) error {
			if conn.Subprotocol() != "interop" {
				return fmt.Errorf("%q", conn.Subprotocol())
			}
			return echoes(conn, true, []byte("after"))
		}},
		{"compression", func(conn Conn) error {
			for round := range 3 {
				rows := make([]map[string]int, 100)
				for i := range rows {
					rows[i] = map[string]int{"id": i, "round": round}
				}
				message, _ := json.Marshal(rows)
				if err := echoes(conn, true, message); err != nil {
					return err
				}
			}
			return nil
		}},
	}
	for _, check := range checks {
		var subprotocols []string
		if check.name == "subprotocol" {
			subprotocols = []string{"other", "interop"}
		}
		ended := make(chan error, 1)
		go func() {
			conn, compressed, err := dial(url+"/"+check.name, subprotocols, check.name == "compression", check.name == "fragments")
			if err == nil && compressed != (check.name == "compression") {
				err = fmt.Errorf("permessage-deflate negotiated: %v", compressed)
			}
			if err == nil {
				err = check.run(conn)
			}
			if err == nil && check.name != "close" && check.name != "closed" {
				err = conn.Close(1000, "")
			}
			ended <- err
		}()
		var err error
		select {
		case err = <-ended:
		case <-time.After(10 * time.Second):
			err = fmt.Errorf("takes longer than 10 s")
		}
		if err != nil {
			fmt.Println(check.name, "failed", strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println(check.name, "ok")
		}
	}
}

func expect(conn Conn, text bool, message []byte) error {
	gotText, got, err := conn.Read()
	if err == nil && (gotText != text || !bytes.Equal(got, message)) {
		err = fmt.Errorf("%.80q instead of %.80q", got, message)
	}
	return err
}
