//! The server with hotpath's axum layer, which times each route to the head of its response. Its report goes
//! to a file that nobody reads.

use std::process::ExitCode;

use weighbridge_benches::server;

fn main() -> ExitCode {
    let _hotpath = hotpath::HotpathGuardBuilder::new("serve_hotpath")
        .output_path("/dev/null")
        .build();
    server::run(&mut server::runtime(), |listener| {
        axum::serve(listener, server::app().layer(hotpath::AxumLayer::new()))
    })
}
