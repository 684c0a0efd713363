//! The server without anything: `axum::serve`.

use std::process::ExitCode;

use weighbridge_benches::server;

fn main() -> ExitCode {
    server::run(&mut server::runtime(), |listener| {
        axum::serve(listener, server::app())
    })
}
