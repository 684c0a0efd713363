//! Decompression bombs and forged deltas cost the collector a bounded amount of memory. The peak of a process
//! is read from the kernel, so this is a binary of its own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // the helpers of a test

use std::io::Write as _;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use weighbridge_collector::{Collector, Config, Limits};

/// What requests that are taken apart may hold.
const DECODED_BYTES: usize = 128 << 20;

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

/// A frame of zstd that asks for a window of 2^`log` bytes, and is all zeros: 128 KiB in four bytes, so often.
fn zstd(log: u8, blocks: usize) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3];
    for n in 1..=blocks {
        let repeated = 1 << 1;
        let header: u32 = 0x2_0000 << 3 | repeated | u32::from(n == blocks);
        frame.extend(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

async fn status(addr: SocketAddr, path: &str, encoding: &str, body: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\
         content-type: application/x-protobuf\r\ncontent-encoding: {encoding}\r\ncontent-length: {}\r\n\r\n",
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
        limits: Limits {
            decoded_bytes: DECODED_BYTES,
            ..Limits::default()
        },
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
    // 512 MiB each, in 16 KiB: with the largest window that HTTP allows, and with one that would keep all of it.
    let (long, wide) = (zstd(23, 4096), zstd(30, 4096));
    assert!(long.len() < 17 << 10);
    let (ledger, traces) = ("/v1/ledger", "/v1/traces");
    let ways: [(_, _, &[u8], &[u16]); 8] = [
        (ledger, "gzip", &bomb, &[413, 503]),
        (ledger, "gzip", &forged, &[400, 503]),
        (traces, "gzip", &bomb, &[413, 503]),
        (traces, "gzip", &forged, &[200, 503]),
        (ledger, "zstd", &long, &[413, 503]),
        (ledger, "zstd", &wide, &[413]),
        (traces, "zstd", &long, &[413, 503]),
        (traces, "zstd", &wide, &[413]),
    ];
    let before_kib = peak_kib();
    let requests: Vec<_> = ways
        .iter()
        .cycle()
        .take(48)
        .map(|(path, encoding, body, expected)| {
            let (path, encoding, body) = (*path, *encoding, body.to_vec());
            let sent = tokio::spawn(async move { status(addr, path, encoding, &body).await });
            (sent, path, encoding, *expected)
        })
        .collect();
    for (sent, path, encoding, expected) in requests {
        let status = sent.await.unwrap();
        assert!(expected.contains(&status), "{path} {encoding}: {status}");
    }
    let grown_kib = peak_kib() - before_kib;
    // Beside what the requests may hold, what they are sent from and what the allocator keeps.
    let most_kib = (DECODED_BYTES as u64 >> 10) + (128 << 10);
    assert!(grown_kib < most_kib, "the peak grew by {grown_kib} KiB");
    running.shutdown().await.unwrap();
}
