//! Requests of 1000 spans, encoded once and patched for each sending.

use axum::body::Bytes;

/// Spans in a request.
pub(crate) const SPANS: usize = 1_000;
/// Spans of shop in a trace: its request, a piece of its code, a call, a statement.
const OF_SHOP: usize = 4;

/// Encodes and patches.
pub(crate) struct Writer {
    shop: Template,
    stock: Template,
    /// Requests made.
    made: u64,
}

/// Bytes, and where ids and times stand in them.
struct Template {
    bytes: Vec<u8>,
    spans: Vec<Places>,
}

#[derive(Default)]
struct Places {
    trace: usize,
    id: usize,
    parent: Option<usize>,
    times: [usize; 2],
}

fn put_varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put(number: usize, bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(number << 3 | 2, out);
    put_varint(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn attribute(key: &str, value: &str) -> Vec<u8> {
    let mut any = Vec::new();
    match value.parse::<usize>() {
        Ok(number) => {
            put_varint(3 << 3, &mut any);
            put_varint(number, &mut any);
        }
        Err(_) => put(1, value.as_bytes(), &mut any),
    }
    let mut pair = Vec::new();
    put(1, key.as_bytes(), &mut pair);
    put(2, &any, &mut pair);
    pair
}

const COMMON: [(&str, &str); 4] = [
    ("network.protocol.version", "1.1"),
    ("network.peer.address", "10.1.2.80"),
    ("network.peer.port", "39120"),
    (
        "user_agent.original",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    ),
];

/// A span and, within it, its places.
fn span(
    n: usize,
    kind: usize,
    has_parent: bool,
    attributes: &[(&str, String)],
) -> (Vec<u8>, Places) {
    let mut out = Vec::new();
    let mut places = Places::default();
    put(1, &[0; 16], &mut out);
    places.trace = out.len() - 16;
    put(2, &[0; 8], &mut out);
    places.id = out.len() - 8;
    if has_parent {
        put(4, &[0; 8], &mut out);
        places.parent = Some(out.len() - 8);
    }
    put(5, format!("operation {}", n % 20).as_bytes(), &mut out);
    put_varint(6 << 3, &mut out);
    put_varint(kind, &mut out);
    for (at, number) in [(0, 7), (1, 8)] {
        put_varint(number << 3 | 1, &mut out);
        places.times[at] = out.len();
        out.extend_from_slice(&[0; 8]);
    }
    let common = COMMON
        .iter()
        .map(|(key, value)| (*key, (*value).to_owned()));
    for (key, value) in attributes.iter().cloned().chain(common) {
        put(9, &attribute(key, &value), &mut out);
    }
    put(15, &[], &mut out);
    (out, places)
}

impl Template {
    fn new(service: &str, spans: Vec<(Vec<u8>, Places)>) -> Self {
        let mut scope = Vec::new();
        let mut all = Vec::new();
        for (bytes, mut places) in spans {
            put(2, &bytes, &mut scope);
            let begin = scope.len() - bytes.len();
            places.trace += begin;
            places.id += begin;
            places.parent = places.parent.map(|at| at + begin);
            places.times = places.times.map(|at| at + begin);
            all.push(places);
        }
        let mut resource = Vec::new();
        for (key, value) in [
            ("service.name", service),
            ("service.version", "1.2.3"),
            (
                "service.instance.id",
                "627cc493-f310-47de-96bd-71410b7dec09",
            ),
            ("telemetry.sdk.language", "rust"),
        ] {
            put(1, &attribute(key, value), &mut resource);
        }
        let mut resource_spans = Vec::new();
        put(1, &resource, &mut resource_spans);
        put(2, &scope, &mut resource_spans);
        let mut bytes = Vec::new();
        put(1, &resource_spans, &mut bytes);
        let shift = bytes.len() - scope.len();
        for places in &mut all {
            places.trace += shift;
            places.id += shift;
            places.parent = places.parent.map(|at| at + shift);
            places.times = places.times.map(|at| at + shift);
        }
        Self { bytes, spans: all }
    }

    fn patch(&mut self, at: usize, trace: u64, id: u64, parent: u64, end_unix_ns: u64) {
        let places = &self.spans[at];
        let mut put =
            |at: usize, value: u64| self.bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
        put(places.trace, mixed(trace));
        put(places.trace + 8, trace);
        put(places.id, id);
        if let Some(at) = places.parent {
            put(at, parent);
        }
        let [start, end] = places.times;
        self.bytes[start..start + 8].copy_from_slice(&(end_unix_ns - 3_000_000).to_le_bytes());
        self.bytes[end..end + 8].copy_from_slice(&end_unix_ns.to_le_bytes());
    }
}

/// Never 0, and different for different numbers.
fn mixed(n: u64) -> u64 {
    let n = (n ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (n ^ n >> 29).wrapping_mul(0x94d0_49bb_1331_11eb) | 1
}

impl Writer {
    pub(crate) fn new() -> Self {
        let of = |pairs: &[(&'static str, &str)], n: usize| {
            pairs
                .iter()
                .map(|(key, value)| (*key, value.replace("{n}", &(n / OF_SHOP % 20).to_string())))
                .collect::<Vec<_>>()
        };
        let server = |route| {
            [
                ("http.request.method", "GET"),
                ("http.route", route),
                ("url.path", "/a/path/of/some/length/4711"),
                ("url.scheme", "https"),
                ("http.response.status_code", "200"),
                ("server.address", "shop.example.org"),
                ("server.port", "443"),
            ]
        };
        let shop = (0..SPANS)
            .map(|n| match n % OF_SHOP {
                0 => span(n, 2, false, &of(&server("/orders{n}/{id}"), n)),
                1 => span(
                    n,
                    1,
                    true,
                    &of(
                        &[("code.function.name", "shop::reserve"), ("thread.id", "17")],
                        n,
                    ),
                ),
                2 => span(
                    n,
                    3,
                    true,
                    &of(
                        &[
                            ("http.request.method", "GET"),
                            ("url.full", "https://stock.example.org/stock/4711"),
                            ("url.template", "/stock{n}/{sku}"),
                            ("http.response.status_code", "200"),
                            ("server.address", "stock.example.org"),
                            ("server.port", "443"),
                        ],
                        n,
                    ),
                ),
                _ => span(
                    n,
                    3,
                    true,
                    &of(
                        &[
                            ("db.system.name", "postgresql"),
                            ("db.namespace", "shop"),
                            ("db.collection.name", "orders{n}"),
                            ("db.operation.name", "SELECT"),
                            ("db.query.text", "SELECT * FROM orders WHERE id = $1"),
                            ("server.address", "db.example.org"),
                        ],
                        n,
                    ),
                ),
            })
            .collect();
        let stock = (0..SPANS)
            .map(|n| span(n, 2, true, &of(&server("/stock{n}/:sku"), n * OF_SHOP)))
            .collect();
        Self {
            shop: Template::new("shop", shop),
            stock: Template::new("stock", stock),
            made: 0,
        }
    }

    /// The next request: four of shop with 250 traces each, then one of stock that answers all their calls.
    pub(crate) fn next_batch(&mut self) -> &[u8] {
        let round = self.made / 5;
        let part = usize::try_from(self.made % 5).unwrap_or(0);
        self.made += 1;
        let end_unix_ns = weighbridge_benches::clock::unix_ns();
        let trace = |n: usize| round * SPANS as u64 + n as u64 + 1;
        let id = |trace: u64, role: u64| mixed(trace << 3 | role);
        if part == 4 {
            for n in 0..SPANS {
                let trace = trace(n);
                self.stock
                    .patch(n, trace, id(trace, 5), id(trace, 3), end_unix_ns);
            }
            return &self.stock.bytes;
        }
        for n in 0..SPANS {
            let trace = trace(part * SPANS / OF_SHOP + n / OF_SHOP);
            // The request, then its code, and within that the call and the statement.
            let (role, parent) = match n % OF_SHOP {
                0 => (1, 0),
                1 => (2, 1),
                2 => (3, 2),
                _ => (4, 2),
            };
            self.shop
                .patch(n, trace, id(trace, role), id(trace, parent), end_unix_ns);
        }
        &self.shop.bytes
    }
}

/// A message in gRPC's frame.
pub(crate) fn framed(message: &[u8], compressed: u8) -> Bytes {
    let mut framed = Vec::with_capacity(message.len() + 5);
    framed.push(compressed);
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(0).to_be_bytes());
    framed.extend_from_slice(message);
    framed.into()
}
