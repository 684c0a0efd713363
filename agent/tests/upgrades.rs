//! What follows an upgrade is no longer the request: its bill ends with the answer, and the socket's costs go to
//! whoever polls it.

#![allow(clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use http::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::{PATIENCE, Served, burn, figure};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use weighbridge_agent::wire::{Class, RowKind, RowValue, column};
use weighbridge_agent::{Scope, background, connection};

/// What the server burns for each message.
const WORK: Duration = Duration::from_millis(3);
const WORK_NS: i64 = 3_000_000;
const MESSAGES: i64 = 3;

async fn talk(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        burn(WORK);
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

/// Answers CONNECT and sends back what comes through the tunnel.
async fn tunnel(request: Request<Body>) -> Result<(), StatusCode> {
    if request.method() != http::Method::CONNECT {
        return Err(StatusCode::NOT_FOUND);
    }
    tokio::spawn(connection("tunnel", async move {
        let mut io = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
        let mut byte = [0];
        while io.read_exact(&mut byte).await.is_ok() {
            burn(WORK);
            io.write_all(&byte).await.unwrap();
        }
    }));
    Ok(())
}

fn app() -> Router {
    Router::new()
        .route(
            "/owned",
            any(|upgrade: WebSocketUpgrade| async {
                upgrade.on_upgrade(|socket| connection("chat", talk(socket)))
            }),
        )
        .route(
            "/child",
            any(|upgrade: WebSocketUpgrade| async {
                let scope = Scope::current();
                let answer: Response = upgrade.on_upgrade(|socket| scope.wrap(talk(socket)));
                answer
            }),
        )
        .route(
            "/bare",
            any(|upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(talk) }),
        )
        .fallback(tunnel)
        .layer(weighbridge_agent::layer())
}

/// Opens a connection, sends a head and reads the head of the answer, which must be of this status.
async fn upgraded(address: SocketAddr, head: &str, status: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with(status), "{answer}");
    stream
}

async fn websocket(address: SocketAddr, path: &str) -> TcpStream {
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    upgraded(address, &head, "HTTP/1.1 101").await
}

/// Sends text messages of a websocket and reads each back.
async fn say<I: AsyncRead + AsyncWrite + Unpin>(io: &mut I) {
    for _ in 0..MESSAGES {
        // A text of two bytes, masked with zeros, as clients must.
        io.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i'])
            .await
            .unwrap();
        let mut answer = [0; 4];
        io.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, [0x81, 2, b'h', b'i']);
    }
}

/// Waits until so many requests of the operation have ended, all of them well.
async fn ended(served: &Served, operation: &str, n: i64) -> RowValue {
    let row = served.ended(operation, n).await;
    assert_eq!(support::outcome(&row), [0, 0], "{operation}");
    row
}

/// Waits until the owner has been billed for its messages, beyond what it was billed before.
async fn worked(served: &Served, name: &str, before_ns: i64) -> RowValue {
    let owner = || served.ledger.select(RowKind::Owner, &[(1, name)]);
    served
        .until(name, || owner().cpu_ns() >= before_ns + MESSAGES * WORK_NS)
        .await;
    owner()
}

async fn upgrades(served: &Served) {
    let (ledger, address) = (&served.ledger, served.address);
    // As an owner: the bill has ended while the socket is still open.
    let mut chat = websocket(address, "/owned").await;
    let answered = ended(served, "GET /owned", 1).await;
    let edge = ledger.select(RowKind::Edge, &[(0, "callee"), (4, "GET /owned")]);
    assert_eq!(figure(&edge, column::RESPONSE_MESSAGES), 1);
    say(&mut chat).await;
    let owner = worked(served, "chat", 0).await;
    assert!(owner.class_cpu_ns(Class::Io).unwrap() > 0, "the socket too");
    drop(chat);
    let row = ended(served, "GET /owned", 1).await;
    assert_eq!(
        row.cpu_ns(),
        answered.cpu_ns(),
        "nothing of it is the request's"
    );

    // As the request's child: it stays open as long as the socket.
    let mut chat = websocket(address, "/child").await;
    say(&mut chat).await;
    assert!(served.agent.flush(PATIENCE));
    let row = ledger.operation("GET /child", "");
    assert_eq!(figure(&row, column::ENDED), 0, "open");
    drop(chat);
    let row = ended(served, "GET /child", 1).await;
    assert!(row.cpu_ns() >= MESSAGES * WORK_NS);

    // Bare: the request ends; without the runtime's hooks nobody knows whose the rest is.
    let mut chat = websocket(address, "/bare").await;
    say(&mut chat).await;
    drop(chat);
    let row = ended(served, "GET /bare", 1).await;
    if cfg!(not(tokio_unstable)) {
        assert!(row.cpu_ns() < MESSAGES * WORK_NS);
    }

    // CONNECT.
    let head = "CONNECT there:1 HTTP/1.1\r\nhost: there:1\r\n\r\n";
    let mut through = upgraded(address, head, "HTTP/1.1 200").await;
    ended(served, "CONNECT <unmatched>", 1).await;
    for byte in 0..u8::try_from(MESSAGES).unwrap() {
        through.write_u8(byte).await.unwrap();
        assert_eq!(through.read_u8().await.unwrap(), byte);
    }
    drop(through);
    worked(served, "tunnel", 0).await;

    // A websocket over HTTP/2 is a CONNECT of its own kind, beside other requests.
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, driver) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .handshake::<_, Body>(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(background("client", async { drop(driver.await) }));
    // The server's settings must be there before the client may ask.
    let request = Request::get("http://a/none").body(Body::empty()).unwrap();
    let none = sender.send_request(request).await.unwrap();
    assert_eq!(none.status(), StatusCode::NOT_FOUND);
    let request = Request::connect("http://a/owned")
        .header("sec-websocket-version", "13")
        .extension(hyper::ext::Protocol::from_static("websocket"))
        .body(Body::empty())
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    ended(served, "CONNECT /owned", 1).await;
    let before = ledger.select(RowKind::Owner, &[(1, "chat")]).cpu_ns();
    let mut chat = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    say(&mut chat).await;
    drop((chat, sender));
    worked(served, "chat", before).await;
}

#[test]
fn an_upgrade_ends_the_request_and_its_socket_is_weighed_on() {
    let ledger = support::weigh_server(
        support::builder("upgraded"),
        |_| app(),
        |served| async move { upgrades(&served).await },
    );
    support::assert_nothing_in_flight(&ledger);
}
