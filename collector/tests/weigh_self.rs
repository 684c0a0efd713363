//! The collector as a service of its own ledger. A process has one agent, so this is a binary of its own.

use weighbridge_collector::{Access, Collector, Config, SERVICE, Span, fetch_range, read_range};
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
    assert_eq!(sum(RowKind::Operation, column::ENDED), 5);
    let accounts: i64 = own.iter().map(|folded| folded.rows.accounts_cpu_ns()).sum();
    let process = sum(RowKind::Process, column::CPU_PROCESS_NS);
    let in_progress = sum(RowKind::Process, column::CPU_IN_PROGRESS_NS);
    assert!(process > 0);
    assert_eq!(accounts + in_progress, process);
    assert_eq!(sum(RowKind::Loss, column::LOST), 0);
}
