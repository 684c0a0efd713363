use crate::testing::SECOND_NS;
use crate::testing::wire::{get, request};
use crate::testing::{DeltaSpec, START_UNIX_NS};

use super::*;

fn config(directory: &std::path::Path) -> Config {
    Config {
        data_dir: directory.into(),
        listen_http: "127.0.0.1:0".parse().unwrap(),
        weigh_self: false,
        ..Config::default()
    }
}

fn clock() -> Clock {
    Clock::fixed(START_UNIX_NS + 100 * SECOND_NS)
}

async fn send(running: &Running, seq: u64) {
    let body = DeltaSpec::new(1, seq).delta().encode();
    let headers = [("content-type", "application/x-protobuf")];
    let answer = request(running.http_addr, "POST /v1/ledger", &headers, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_port_in_use_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(directory.path());
    config.listen_http = taken.local_addr().unwrap();
    let error = Collector::start(config).await.unwrap_err().to_string();
    assert!(
        error.contains("stop the process that holds the port"),
        "{error}"
    );
}

#[tokio::test]
async fn an_unusable_directory_is_said() {
    let directory = tempfile::tempdir().unwrap();
    // A file where the directory should be: refused for every user, root included.
    let path = directory.path().join("data");
    std::fs::write(&path, "").unwrap();
    let error = Collector::start(config(&path))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("check that the directory exists"), "{error}");
}

#[tokio::test]
async fn a_second_collector_on_one_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let first = Collector::start(config(directory.path())).await.unwrap();
    let error = Collector::start(config(directory.path()))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("held by another process"), "{error}");
    first.shutdown().await.unwrap();
    Collector::start(config(directory.path()))
        .await
        .unwrap()
        .shutdown()
        .await
        .unwrap();
}

#[tokio::test]
async fn beyond_loopback_a_token_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.listen_http = "0.0.0.0:0".parse().unwrap();
    let error = Collector::start(config.clone())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("insecure_no_auth"), "{error}");
    config.insecure_no_auth = true;
    Collector::start(config)
        .await
        .unwrap()
        .shutdown()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_shutdown_folds_and_a_dropped_collector_is_folded_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    for (seq, orderly) in [(0, true), (1, false), (2, true)] {
        let mut config = config(directory.path());
        config.limits.fold_every = Duration::from_secs(3_600);
        let running = Collector::start_with_clock(config, clock()).await.unwrap();
        send(&running, seq).await;
        let found = running.engine().view("", 0, u64::MAX).unwrap().count();
        assert_eq!(found as u64, seq + 1);
        if orderly {
            running.shutdown().await.unwrap();
        } else {
            let engine = running.engine().clone();
            drop(running);
            // The directory is free once the writer has gone.
            tokio::task::spawn_blocking(move || engine.stop())
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn it_runs_until_it_is_told_to_stop() {
    let directory = tempfile::tempdir().unwrap();
    let running = Collector::start(config(directory.path())).await.unwrap();
    assert_eq!(get(running.http_addr, "/readyz").await.status, 200);
    running.app.set_unready();
    let answer = get(running.http_addr, "/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("stopping"));
    assert_eq!(get(running.http_addr, "/livez").await.status, 200);
    running.shutdown().await.unwrap();

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = tokio::spawn(run(config(directory.path()), async move {
        let _ = stopped.await;
    }));
    stop.send(()).unwrap();
    run.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_address_of_grpc_is_a_name_of_the_collector() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    // Whatever address this machine has: one that is not loopback is known only by what is listened on.
    config.listen_grpc = Some("0.0.0.0:0".parse().unwrap());
    config.insecure_no_auth = true;
    let running = Collector::start_with_clock(config, clock()).await.unwrap();
    let mut grpc = running.grpc_addr.unwrap();
    grpc.set_ip("127.0.0.1".parse().unwrap());
    for (host, status) in [("10.1.2.3", 200), ("evil.example", 403)] {
        let answer = request(grpc, "GET /readyz", &[("host", host)], b"").await;
        assert_eq!(answer.status, status, "{host}: {}", answer.text());
    }
    running.shutdown().await.unwrap();
}
