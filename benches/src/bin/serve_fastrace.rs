//! The server with fastrace: its axum layer, which makes one span a request, and a reporter that drops what
//! it is given.

use std::process::ExitCode;

use fastrace::collector::{Config, Reporter, SpanRecord};
use weighbridge_benches::server;

struct Drop;

impl Reporter for Drop {
    fn report(&mut self, _spans: Vec<SpanRecord>) {}
}

fn main() -> ExitCode {
    fastrace::set_reporter(Drop, Config::default());
    let ended = server::run(&mut server::runtime(), |listener| {
        let app = server::app().layer(fastrace_axum::FastraceLayer::default());
        axum::serve(listener, app)
    });
    fastrace::flush();
    ended
}
