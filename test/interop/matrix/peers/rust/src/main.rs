//! The crate tungstenite as a peer: `interop server`, or `interop client URL`. See ../../../README.md.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::http::{HeaderValue, Uri};
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, WebSocket};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments[1].as_str() {
        "server" => serve(),
        _ => {
            check_all(&arguments[2]);
            Ok(())
        }
    }
}

/// Listens, and ends with standard input.
fn serve() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening {}", listener.local_addr()?.port());
    io::stdout().flush()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream).ok());
        }
    });
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Echoes messages and does what some of them ask for.
fn answer(stream: TcpStream) -> Outcome {
    #[allow(clippy::result_large_err)]
    let choose = |request: &Request, mut response: Response| {
        if request.headers().contains_key("Sec-WebSocket-Protocol") {
            response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("interop"));
        }
        Ok(response)
    };
    let mut ws = tungstenite::accept_hdr(stream, choose).map_err(|error| error.to_string())?;
    loop {
        let message = ws.read()?;
        match &message {
            Message::Text(text) => match text.split_once(' ').unwrap_or((text, "")) {
                ("close", rest) => {
                    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
                    ws.close(Some(CloseFrame { code: code.parse::<u16>()?.into(), reason: reason.into() }))?;
                }
                ("ping", data) => ws.send(Message::Ping(data.to_owned().into()))?,
                ("fragments", _) => fragments(&mut ws)?,
                _ => ws.send(message)?,
            },
            Message::Binary(_) => ws.send(message)?,
            Message::Pong(data) => ws.send(Message::text(format!("pong {}", str::from_utf8(data)?)))?,
            _ => {}
        }
    }
}

fn fragments(ws: &mut WebSocket<TcpStream>) -> Outcome {
    for (i, part) in ["frag", "men", "ted"].into_iter().enumerate() {
        let data = if i == 0 { Data::Text } else { Data::Continue };
        ws.send(Message::Frame(Frame::message(part, OpCode::Data(data), i == 2)))?;
    }
    Ok(())
}

fn check_all(url: &str) {
    let checks: [(&str, fn(&mut WebSocket<TcpStream>) -> Outcome); 8] = [
        ("text", |ws| echoes(ws, Message::text("Grüße, 世界 😀"))),
        ("binary", |ws| echoes(ws, Message::binary((0..=255).collect::<Vec<u8>>()))),
        ("large", |ws| echoes(ws, Message::binary((0..=255).collect::<Vec<u8>>().repeat(4096)))),
        ("fragments", |ws| {
            fragments(ws)?;
            expect(ws, Message::text("fragmented"))?;
            ws.send(Message::text("fragments"))?;
            expect(ws, Message::text("fragmented"))
        }),
        ("ping", |ws| {
            ws.send(Message::Ping("hello".into()))?;
            expect(ws, Message::Pong("hello".into()))?;
            ws.send(Message::text("ping back"))?;
            expect(ws, Message::Ping("back".into()))?;
            expect(ws, Message::text("pong back"))
        }),
        ("close", |ws| {
            let frame = CloseFrame { code: CloseCode::Library(4002), reason: "done".into() };
            ws.close(Some(frame.clone()))?;
            expect(ws, Message::Close(Some(frame)))
        }),
        ("closed", |ws| {
            ws.send(Message::text("close 4001 bye"))?;
            let frame = CloseFrame { code: CloseCode::Library(4001), reason: "bye".into() };
            expect(ws, Message::Close(Some(frame)))
        }),
        ("subprotocol", |ws| echoes(ws, Message::text("after"))),
    ];
    for (name, check) in checks {
        match open(url, name).and_then(|mut ws| check(&mut ws).and_then(|()| end(&mut ws))) {
            Ok(()) => println!("{name} ok"),
            Err(error) => println!("{name} failed {error}"),
        }
    }
}

fn open(url: &str, name: &str) -> Result<WebSocket<TcpStream>, Box<dyn Error>> {
    let url = format!("{url}/{name}");
    let uri: Uri = url.parse()?;
    let stream = TcpStream::connect(uri.authority().ok_or("no authority")?.as_str())?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut request = url.into_client_request()?;
    if name == "subprotocol" {
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("other, interop"));
    }
    let (ws, response) = tungstenite::client(request, stream).map_err(|error| error.to_string())?;
    if name == "subprotocol" && response.headers()["Sec-WebSocket-Protocol"] != "interop" {
        return Err("another subprotocol".into());
    }
    Ok(ws)
}

fn echoes(ws: &mut WebSocket<TcpStream>, message: Message) -> Outcome {
    ws.send(message.clone())?;
    expect(ws, message)
}

fn expect(ws: &mut WebSocket<TcpStream>, message: Message) -> Outcome {
    let got = ws.read()?;
    if got != message {
        return Err(format!("{:.80} instead of {:.80}", got.to_string(), message.to_string()).into());
    }
    Ok(())
}

/// Closes, if that has not begun, and reads to the end.
fn end(ws: &mut WebSocket<TcpStream>) -> Outcome {
    if ws.can_write() {
        ws.close(None)?;
    }
    loop {
        match ws.read() {
            Ok(_) => {}
            Err(tungstenite::Error::ConnectionClosed) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
