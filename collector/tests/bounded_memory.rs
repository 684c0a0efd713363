//! Decompression bombs and forged deltas cost the collector a bounded amount of memory. The peak of a process
//! is read from the kernel, so this is a binary of its own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // the helpers of a test

use std::io::Write as _;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use weighbridge_collector::{Collector, Config};

/// Peak resident set of this process, KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn gzip(parts: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    parts.for_each(|part| encoder.write_all(&part).unwrap());
    encoder.finish().unwrap()
}

async fn status(addr: SocketAddr, body: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let head = format!(
        "POST /v1/ledger HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\
         content-type: application/x-protobuf\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let line = String::from_utf8_lossy(&answer[..answer.len().min(20)]).into_owned();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s1_bombs_and_forged_deltas_do_not_fill_the_memory() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config {
        data_dir: directory.path().into(),
        listen_http: "127.0.0.1:0".parse().unwrap(),
        weigh_self: false,
        ..Config::default()
    };
    let running = Collector::start(config).await.unwrap();
    let addr = running.http_addr;
    // 192 MiB of zeros in 200 KiB: twelve of them would be more than 2 GiB.
    let bomb = gzip((0..192).map(|_| vec![0; 1 << 20]));
    // Four million rows that say nothing: 8 MiB that want to become half a gigabyte.
    let forged = gzip(
        std::iter::once([0x08, 0x01].to_vec())
            .chain(std::iter::once([7 << 3 | 2, 0].repeat((4 << 20) - 1))),
    );
    assert!(bomb.len() < 2 << 20 && forged.len() < 4 << 20);
    let before_kib = peak_kib();
    let requests: Vec<_> = (0..24)
        .map(|n| {
            let body = if n % 2 == 0 {
                bomb.clone()
            } else {
                forged.clone()
            };
            tokio::spawn(async move { (n, status(addr, &body).await) })
        })
        .collect();
    for request in requests {
        let (n, status) = request.await.unwrap();
        let expected: &[u16] = if n % 2 == 0 { &[413] } else { &[400, 503] };
        assert!(expected.contains(&status), "request {n}: {status}");
    }
    let grown_kib = peak_kib() - before_kib;
    assert!(grown_kib < 160 << 10, "the peak grew by {grown_kib} KiB");
    running.shutdown().await.unwrap();
}
