use std::sync::{Mutex, mpsc};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weighbridge_wire::{Quality, RowKind, RowValue, column};

use super::*;
use crate::messages::Peer;
use crate::sync::lock;
use crate::testing::{Books, burn, figure};

type Fails = DriverError<std::io::Error>;

/// There is a limit to threads: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn block_on<F: Future>(future: F) -> F::Output {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

async fn connected<T: Send + 'static>(name: &str, client: T) -> Driven<T> {
    driver_thread(name, || async { Ok::<_, Fails>(client) })
        .await
        .unwrap()
}

/// What the driver of this name has spent, and what stands on the edges of its peer.
fn costs(books: &Books, name: &str) -> (RowValue, Vec<i64>) {
    let mut on_edges = Vec::new();
    for (key, row) in books.rows.of_kind(RowKind::Edge) {
        if &*key.parts[9] == name
            && key.quality == Quality::Apportioned
            && let Some(ns) = row.get(column::CPU_PROTOCOL_NS)
        {
            on_edges.push(ns);
        }
    }
    (books.owner(OwnerKind::Driver, name), on_edges)
}

#[test]
fn what_a_client_does_by_itself_is_the_drivers_and_goes_to_its_edges_by_bytes() {
    let _alone = lock(&ALONE);
    let mut books = Books::open();
    block_on(async {
        let (work, mut works) = tokio::sync::mpsc::channel::<oneshot::Sender<()>>(1);
        let connect = || async {
            tokio::spawn(async move {
                while let Some(done) = works.recv().await {
                    burn(3_000_000);
                    // The threads for what blocks are the driver's as well.
                    tokio::task::spawn_blocking(|| burn(2_000_000))
                        .await
                        .unwrap();
                    let _ = done.send(());
                }
            });
            Ok::<_, Fails>(work)
        };
        let client = driver_thread("d-books", connect).await.unwrap();
        let peer = Peer::new("queue", "d-books");
        for (target, bytes) in [("small", 1_000), ("large", 3_000)] {
            let mut call = peer.call(target);
            call.sent(bytes);
            let (done, is_done) = oneshot::channel();
            client.send(done).await.unwrap();
            call.wait(is_done).await.unwrap();
            call.end();
        }
        client.stop().await;
    });
    books.rotate();
    let (driver, mut shares) = costs(&books, "d-books");
    let spent = figure(&driver, column::CPU_PROTOCOL_NS);
    assert!(spent >= 10_000_000, "{driver:?}");
    shares.sort_unstable();
    assert_eq!(shares.len(), 2, "{shares:?}");
    assert_eq!(shares.iter().sum::<i64>(), spent, "to the nanosecond");
    // 50 for a message's head; the nanosecond that is left over goes to either.
    let exact = spent * 1_050 / 4_100;
    assert!((exact..=exact + 1).contains(&shares[0]), "{shares:?}");
}

#[test]
fn without_messages_the_cost_stays_the_drivers() {
    let _alone = lock(&ALONE);
    let mut books = Books::open();
    block_on(async {
        let connect = || async {
            burn(1_000_000);
            Ok::<_, Fails>(())
        };
        driver_thread("d-idle", connect).await.unwrap().stop().await;
    });
    books.rotate();
    let (driver, shares) = costs(&books, "d-idle");
    assert!(figure(&driver, column::CPU_PROTOCOL_NS) >= 1_000_000);
    assert!(shares.is_empty(), "{shares:?}");
}

#[test]
fn a_clients_own_error_and_a_panic_come_back() {
    let _alone = lock(&ALONE);
    let refused = || async { Err::<(), _>(std::io::Error::from(std::io::ErrorKind::AddrInUse)) };
    let error = block_on(driver_thread("d-refused", refused)).unwrap_err();
    assert!(
        matches!(error, DriverError::Connect(error) if error.kind() == std::io::ErrorKind::AddrInUse)
    );
    let at_once = || -> Ready<Result<(), Fails>> { panic!("at once {}", 1) };
    let error = block_on(driver_thread("d-panics", at_once)).unwrap_err();
    assert!(
        matches!(&error, DriverError::Panicked(text) if text == "at once 1"),
        "{error}"
    );
    let error = block_on(driver_thread("d-panics", panics_later)).unwrap_err();
    assert!(
        matches!(&error, DriverError::Panicked(text) if text == "later"),
        "{error}"
    );
}

type Ready<T> = std::future::Ready<T>;

async fn panics_later() -> Result<(), Fails> {
    panic!("later")
}

#[test]
fn a_panic_in_a_clients_task_ends_the_task_only() {
    let _alone = lock(&ALONE);
    block_on(async {
        let connect = || async {
            tokio::spawn(async { panic!("in a task of a client") });
            Ok::<_, Fails>(tokio::spawn(async { tokio::task::yield_now().await }))
        };
        let driven = driver_thread("d-task", connect).await.unwrap();
        let (other, thread) = driven.into_parts();
        other.await.unwrap();
        thread.stop().await;
    });
}

#[test]
fn a_thread_ends_with_its_guard_also_when_it_never_connected() {
    let _alone = lock(&ALONE);
    struct Tells(mpsc::SyncSender<()>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    let patience = Duration::from_secs(20);
    let (tells, told) = mpsc::sync_channel(4);
    let driven = block_on(async {
        let tells = Tells(tells.clone());
        let connect = || async {
            tokio::spawn(async move {
                let _tells = tells;
                std::future::pending::<()>().await;
            });
            Ok::<_, Fails>(())
        };
        driver_thread("d-ends", connect).await.unwrap()
    });
    assert!(told.try_recv().is_err());
    drop(driven);
    told.recv_timeout(patience).unwrap();
    // Given up while it connects.
    block_on(async {
        let tells = Tells(tells);
        let connect = || async move {
            let _tells = tells;
            std::future::pending::<Result<(), Fails>>().await
        };
        let connecting = driver_thread("d-gives-up", connect);
        tokio::select! {
            biased;
            _ = connecting => unreachable!("it never connects"),
            () = tokio::task::yield_now() => {}
        }
    });
    told.recv_timeout(patience).unwrap();
}

#[test]
fn there_are_not_too_many() {
    let _alone = lock(&ALONE);
    block_on(async {
        let mut driven = Vec::new();
        // Other tests may have some at the same time.
        let refused = loop {
            match driver_thread("d-many", || async { Ok::<_, Fails>(()) }).await {
                Ok(one) => driven.push(one),
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, DriverError::TooMany));
        assert!(driven.len() <= DRIVER_THREADS_MAX);
        for one in driven {
            one.stop().await;
        }
        connected("d-many", ()).await.stop().await;
    });
}

#[test]
fn a_call_within_the_driver_opens_its_sockets_there() {
    let _alone = lock(&ALONE);
    let mut books = Books::open();
    block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let driven = connected("d-within", ()).await;
        let call = async {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            tokio::spawn(async move {
                let mut stream = stream;
                burn(2_000_000);
                stream.write_all(b"hello").await.unwrap();
                std::thread::current().id()
            })
            .await
            .unwrap()
        };
        let served = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            text
        };
        let (thread, text) = tokio::join!(driven.within(call), served);
        assert_ne!(thread, std::thread::current().id());
        assert_eq!(text, "hello");
        driven.stop().await;
    });
    books.rotate();
    let (driver, _) = costs(&books, "d-within");
    assert!(figure(&driver, column::CPU_PROTOCOL_NS) >= 2_000_000);
}
