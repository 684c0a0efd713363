//! A collector on loopback that behaves, or does not. It runs on threads of its own, so that nothing of it runs
//! where the host under test does.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use weighbridge_agent::wire::{Delta, Epoch};

/// What it does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Takes the delta and says so.
    Honest,
    /// Takes connections and never reads.
    Deaf,
    /// Reads the request and never answers.
    Silent,
    /// Answers one byte at a time, for ever.
    Trickle,
    /// Answers what is not HTTP.
    Garbage,
    /// Answers 200 and ten gigabytes.
    Flood,
    /// Answers 500 and ten gigabytes.
    FloodError,
    /// Answers with a head that never ends.
    FloodHead,
    /// Sends elsewhere.
    Redirect,
    /// Resets the connection with the request unread.
    Reset,
    /// Takes the delta, and closes in the middle of the answer.
    CutOff,
    /// Answers 429 and asks for half an eternity.
    TooMany,
    /// Answers 503 and asks for what is no number.
    Unavailable,
}

/// A delta that came, as often as it came.
#[derive(Clone, Debug)]
pub struct Received {
    pub delta: Delta,
    /// Its bytes on the wire.
    pub body: Vec<u8>,
    pub times: usize,
    pub acknowledged: bool,
}

#[derive(Debug)]
struct Shared {
    mood: Mutex<Mood>,
    open: Mutex<Vec<TcpStream>>,
    received: Mutex<BTreeMap<(Epoch, u64), Received>>,
    /// Requests, in whole or in part.
    attempts: AtomicU64,
    sent_bytes: AtomicU64,
}

/// The collector. Ends with the process.
#[derive(Clone, Debug)]
pub struct Collector {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// Nobody accepts connections here, see [`Collector::unreachable`].
#[derive(Debug)]
pub struct Unreachable {
    listener: TcpListener,
    queue: Vec<TcpStream>,
}

impl Unreachable {
    pub fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    /// From now on a collector answers.
    pub fn come_up(self) -> Collector {
        drop(self.queue);
        Collector::on(self.listener, Mood::Honest)
    }
}

/// Written again and again, so that a flood takes no memory here.
static CHUNK: [u8; 65_536] = [b'x'; 65_536];

impl Collector {
    /// Starts one.
    pub fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        Self::on(listener, mood)
    }

    /// Starts one where another was.
    pub fn start_at(address: SocketAddr, mood: Mood) -> Self {
        Self::on(TcpListener::bind(address).unwrap(), mood)
    }

    fn on(listener: TcpListener, mood: Mood) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            mood: Mutex::new(mood),
            open: Mutex::default(),
            received: Mutex::default(),
            attempts: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
        });
        let of_thread = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                of_thread
                    .open
                    .lock()
                    .unwrap()
                    .push(stream.try_clone().unwrap());
                let shared = of_thread.clone();
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// One at an address where nobody accepts connections, and where no more fit into the kernel's queue: whoever
    /// connects waits.
    pub fn unreachable() -> Unreachable {
        // Tokio's sockets say how long the queue is; they want a runtime for that.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        let inside = runtime.enter();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let listener = socket.listen(1).unwrap().into_std().unwrap();
        drop(inside);
        runtime.shutdown_background();
        listener.set_nonblocking(false).unwrap();
        let address = listener.local_addr().unwrap();
        // The kernel answers at once where there is room.
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
        let queue: Vec<TcpStream> = std::iter::from_fn(connect).take(64).collect();
        assert!(queue.len() < 64, "the queue never gets full");
        Unreachable { listener, queue }
    }

    /// Behaves differently from now on, as after a restart: whoever is connected is thrown out.
    pub fn set_mood(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How often it was asked.
    pub fn attempts(&self) -> u64 {
        self.shared.attempts.load(Ordering::SeqCst)
    }

    /// How much it answered.
    pub fn sent_bytes(&self) -> u64 {
        self.shared.sent_bytes.load(Ordering::SeqCst)
    }

    /// Everything that came.
    pub fn received(&self) -> Vec<Received> {
        self.shared
            .received
            .lock()
            .unwrap()
            .values()
            .cloned()
            .collect()
    }
}

impl Shared {
    fn mood(&self) -> Mood {
        *self.mood.lock().unwrap()
    }

    fn serve(&self, mut stream: TcpStream) {
        let mood = self.mood();
        if mood == Mood::Deaf || mood == Mood::Reset {
            self.attempts.fetch_add(1, Ordering::SeqCst);
        }
        match mood {
            Mood::Deaf => self.linger(mood),
            // Closing with bytes unread makes the kernel send a reset.
            Mood::Reset => drop(stream.peek(&mut [0; 1])),
            _ => while self.exchange(&mut stream) {},
        }
    }

    /// One request and its answer; true when another may follow.
    fn exchange(&self, stream: &mut TcpStream) -> bool {
        let Some(body) = read_request(stream) else {
            return false;
        };
        self.attempts.fetch_add(1, Ordering::SeqCst);
        let mood = self.mood();
        let acknowledges = matches!(mood, Mood::Honest | Mood::Flood);
        if acknowledges || mood == Mood::CutOff {
            self.keep(&body, acknowledges);
        }
        let mut say = |bytes: &[u8]| {
            let said = stream.write_all(bytes).is_ok();
            let n = if said { bytes.len() as u64 } else { 0 };
            self.sent_bytes.fetch_add(n, Ordering::SeqCst);
            said
        };
        match mood {
            Mood::Honest => return say(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
            Mood::Deaf | Mood::Reset => {}
            Mood::Silent => self.linger(mood),
            Mood::Trickle => {
                let mut head = b"HTTP/1.1 200 OK\r\nx-slow: "
                    .iter()
                    .chain(std::iter::repeat(&b'z'));
                while self.mood() == mood && say(&[*head.next().unwrap()]) {
                    std::thread::park_timeout(Duration::from_millis(20));
                }
            }
            Mood::Garbage => {
                say(b"\x00\xff\xfe\r\n\r\nSSH-2.0-nonsense HTTP/9.9 -1 \r\n\r\n\r\n");
            }
            Mood::Flood => {
                say(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n");
                while say(&CHUNK) {}
            }
            Mood::FloodError => {
                say(b"HTTP/1.1 500 No\r\ncontent-length: 10000000000\r\n\r\n");
                while say(&CHUNK) {}
            }
            Mood::FloodHead => {
                say(b"HTTP/1.1 200 OK\r\n");
                while say(b"x-more: and more and more and more and more and more and more\r\n") {}
            }
            Mood::Redirect => {
                say(b"HTTP/1.1 307 There\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n");
            }
            Mood::CutOff => {
                say(b"HTTP/1.1 200 O");
            }
            Mood::TooMany => {
                say(b"HTTP/1.1 429 Slow\r\nretry-after: 18446744073709551615\r\ncontent-length: 0\r\n\r\n");
            }
            Mood::Unavailable => {
                say(b"HTTP/1.1 503 Later\r\nretry-after: -9e999, never\r\ncontent-length: 0\r\n\r\n");
            }
        }
        let _ = stream.shutdown(Shutdown::Both);
        false
    }

    /// Until it behaves differently.
    fn linger(&self, mood: Mood) {
        while self.mood() == mood {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn keep(&self, body: &[u8], acknowledged: bool) {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(body)
            .read_to_end(&mut plain)
            .unwrap();
        let delta = Delta::decode(&plain).unwrap();
        let mut received = self.received.lock().unwrap();
        let entry = received
            .entry((delta.epoch, delta.seq))
            .or_insert_with(|| Received {
                delta,
                body: body.to_vec(),
                times: 0,
                acknowledged: false,
            });
        assert!(entry.body == body, "a delta is sent again byte for byte");
        entry.times += 1;
        entry.acknowledged |= acknowledged;
    }
}

fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 16_384];
    loop {
        let n = stream.read(&mut chunk).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&chunk[..n]);
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))?
            .trim()
            .parse()
            .ok()?;
        while bytes.len() < end + 4 + length {
            let n = stream.read(&mut chunk).ok().filter(|n| *n > 0)?;
            bytes.extend_from_slice(&chunk[..n]);
        }
        return Some(bytes.split_off(end + 4));
    }
}
