//! The collector as a service of its own ledger. A process has one agent, so this is a binary of its own.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weighbridge_collector::{Access, Collector, Config, SERVICE, Span, fetch_range, read_range};
use weighbridge_reports::{Document, Options};
use weighbridge_wire::{RowKind, column};

#[test]
fn the_collector_stands_in_its_own_ledger_and_its_accounts_add_up() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = weighbridge_agent::runtime().build().unwrap();
    runtime.block_on(async {
        let config = Config {
            data_dir: directory.path().into(),
            listen_http: "127.0.0.1:0".parse().unwrap(),
            ..Config::default()
        };
        let running = Collector::start(config).await.unwrap();
        let url = format!("http://{}", running.http_addr);
        for _ in 0..5 {
            fetch_range(&url, &Access::default(), None, None)
                .await
                .unwrap();
        }
        // A body that is no OTLP.
        let mut stream = tokio::net::TcpStream::connect(running.http_addr)
            .await
            .unwrap();
        let wrong = "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                     content-type: application/json\r\ncontent-length: 1\r\n\r\n7";
        stream.write_all(wrong.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        running.shutdown().await.unwrap();
    });
    let range = read_range(directory.path(), Span::default()).unwrap();
    let own: Vec<_> = range
        .windows
        .iter()
        .filter(|w| w.service.service == SERVICE)
        .collect();
    assert!(!own.is_empty(), "no window of the collector");
    let sum = |kind: RowKind, column: u32| -> i64 {
        own.iter()
            .flat_map(|folded| folded.rows.of_kind(kind))
            .filter_map(|(_, value)| value.get(column))
            .sum()
    };
    assert_eq!(sum(RowKind::Operation, column::ENDED), 6);
    let accounts: i64 = own.iter().map(|folded| folded.rows.accounts_cpu_ns()).sum();
    let process = sum(RowKind::Process, column::CPU_PROCESS_NS);
    let in_progress = sum(RowKind::Process, column::CPU_IN_PROGRESS_NS);
    assert!(process > 0);
    assert_eq!(accounts + in_progress, process);
    let document = Document::build(&range, &Options::default());
    let report = serde_json::to_string(&document).unwrap();
    assert_eq!(sum(RowKind::Loss, column::LOST), 1);
    assert!(
        report.contains("requests of traces refused: malformed"),
        "{report}"
    );
}
