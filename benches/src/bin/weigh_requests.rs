//! Serves a number of requests and ends: what an instruction counter runs.
//!
//!     weigh_requests plain|off|on REQUESTS [hop]
//!
//! `plain` is axum's own server, `off` our server and layer without `init`, `on` with everything on. One
//! thread and in-memory pipes, so that two runs execute the same instructions; the difference between runs of
//! N and 2N requests, divided by N, is what one request takes, start and end left out. With `hop` each request
//! carries the headers of a calling service.

use std::io::{self, Error, ErrorKind};
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;
use weighbridge_benches::pipes::Pipes;
use weighbridge_benches::sink::Forget;

#[global_allocator]
static ALLOC: weighbridge_agent::Alloc = weighbridge_agent::Alloc::system();

const PIPE_BYTES: usize = 16 * 1024;
const REQUEST: &str = "GET /hello HTTP/1.1\r\nhost: localhost\r\naccept: */*\r\n\r\n";
const HOP_REQUEST: &str = "GET /hello HTTP/1.1\r\nhost: localhost\r\naccept: */*\r\n\
    traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\n\
    baggage: weighbridge.origin=store;POST%20%2Forders\r\n\
    weighbridge-hop: 1;store;POST%20%2Forders;00000000000000ab;s;1764000000000000\r\n\r\n";

fn app() -> Router {
    Router::new().route("/hello", get(async || "hello"))
}

/// One keep-alive connection, one request after the other.
async fn ask(
    pipes: mpsc::Sender<DuplexStream>,
    request: &'static str,
    requests: u64,
) -> io::Result<()> {
    let (mut pipe, served) = tokio::io::duplex(PIPE_BYTES);
    if pipes.send(served).await.is_err() {
        return Err(Error::new(ErrorKind::BrokenPipe, "the server is gone"));
    }
    let mut answer = vec![0; 4_096];
    for _ in 0..requests {
        pipe.write_all(request.as_bytes()).await?;
        let mut filled = 0;
        loop {
            let read = pipe.read(&mut answer[filled..]).await?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            if answer[..filled].ends_with(b"\r\n\r\nhello") {
                break;
            }
        }
    }
    Ok(())
}

fn run(mode: &str, requests: u64, request: &'static str) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let agent = (mode == "on").then(|| {
        weighbridge_agent::builder()
            .service("bench")
            .sink(Arc::new(Forget))
            .init()
    });
    let result = runtime.block_on(async {
        let (pipes, accepted) = mpsc::channel(1);
        let listener = Pipes(accepted);
        let asking = ask(pipes, request, requests);
        // A task of its own, as in a service: its accepting is not polled with each request.
        let server = if mode == "plain" {
            tokio::spawn(axum::serve(listener, app()).into_future())
        } else {
            let app = app().layer(weighbridge_agent::layer());
            tokio::spawn(weighbridge_agent::serve(listener, app).into_future())
        };
        let asked = tokio::spawn(asking).await;
        server.abort();
        asked?
    });
    drop(runtime);
    drop(agent);
    result
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (mode, requests, request) = match arguments[..] {
        [mode @ ("plain" | "off" | "on"), requests] => (mode, requests.parse(), REQUEST),
        [mode @ ("plain" | "off" | "on"), requests, "hop"] => (mode, requests.parse(), HOP_REQUEST),
        _ => return usage(),
    };
    let Ok(requests) = requests else {
        return usage();
    };
    match run(mode, requests, request) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&format!("the run failed: {error}"), 1),
    }
}

fn usage() -> ExitCode {
    complain("usage: weigh_requests plain|off|on REQUESTS [hop]", 2)
}

fn complain(what: &str, code: u8) -> ExitCode {
    use std::io::Write as _;
    // There is nobody left to tell when stderr is gone.
    let _ = writeln!(io::stderr(), "{what}");
    ExitCode::from(code)
}
