//! What a request is turned into: rows that stand at once, and halves that wait for their other half. This, not
//! the request, is what is kept on disk until it is folded; nothing else of the request ever reaches it.

use std::sync::Arc;

use weighbridge_wire::{FoldedWindow, RowSet, ServiceId, Window};

use crate::join::{Offer, Want};

/// No operation, no call.
pub(crate) const NONE: u32 = u32::MAX;

/// A kind of request at one service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Party {
    /// Whose.
    pub(crate) service: Arc<ServiceId>,
    /// Which.
    pub(crate) operation: Arc<str>,
}

/// What a caller names before it knows who answers, or the entity that it reads or writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Target {
    /// A call of another service.
    Call {
        service: Arc<ServiceId>,
        transport: Arc<str>,
        is_async: bool,
        peer: Arc<str>,
        target: Arc<str>,
        call_id: Arc<str>,
    },
    /// A statement.
    Entity {
        service: Arc<ServiceId>,
        database: Arc<str>,
        entity: Arc<str>,
        is_write: bool,
    },
}

/// One request of an OTLP client, derived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Derived {
    /// Hash of the body as it came, inflated: a body that comes again is known by it. 0: not known.
    pub(crate) body_hash: u64,
    /// Rows that stand whatever else comes.
    pub(crate) windows: Vec<(Window, Arc<ServiceId>, RowSet)>,
    /// `Offer::op` and `Want::op` point here.
    pub(crate) parties: Vec<Party>,
    /// `Offer::call` and `Want::subject` of calls point here.
    pub(crate) targets: Vec<Target>,
    /// Every span, for those that name it as their parent.
    pub(crate) offers: Vec<Offer>,
    /// What waits for a span.
    pub(crate) wants: Vec<Want>,
}

/// Texts of a service.
const SERVICE_TEXTS: usize = 5;

/// Version of the encoded form.
const VERSION: u8 = 1;

impl Derived {
    /// Bytes for the store. Integers are little-endian; texts have a length before them.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(
            256 + self.offers.len() * Offer::BYTES + self.wants.len() * Want::BYTES,
        );
        out.u8(VERSION);
        out.u64(self.body_hash);
        out.len(self.windows.len());
        for (window, service, rows) in &self.windows {
            let folded = FoldedWindow {
                service: (**service).clone(),
                window: *window,
                rows: rows.clone(),
            };
            out.bytes(&folded.encode());
        }
        self.encode_halves(&mut out);
        out.0
    }

    /// Parties, targets, offers and wants.
    pub(crate) fn encode_halves(&self, out: &mut Writer) {
        out.len(self.parties.len());
        for party in &self.parties {
            out.service(&party.service);
            out.text(&party.operation);
        }
        out.len(self.targets.len());
        for target in &self.targets {
            match target {
                Target::Call {
                    service,
                    transport,
                    is_async,
                    peer,
                    target,
                    call_id,
                } => {
                    out.u8(if *is_async { 1 } else { 0 });
                    out.service(service);
                    [transport, peer, target, call_id]
                        .into_iter()
                        .for_each(|text| out.text(text));
                }
                Target::Entity {
                    service,
                    database,
                    entity,
                    is_write,
                } => {
                    out.u8(if *is_write { 3 } else { 2 });
                    out.service(service);
                    out.text(database);
                    out.text(entity);
                }
            }
        }
        out.len(self.offers.len());
        self.offers.iter().for_each(|offer| offer.write(out));
        out.len(self.wants.len());
        self.wants.iter().for_each(|want| want.write(out));
    }

    /// Reads what [`encode`](Self::encode) wrote. `None` when it is something else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        if from.u8()? != VERSION {
            return None;
        }
        let body_hash = from.u64()?;
        let mut windows = Vec::new();
        for _ in 0..from.u32()? {
            let folded = FoldedWindow::decode(from.bytes()?).ok()?;
            windows.push((folded.window, Arc::new(folded.service), folded.rows));
        }
        let halves = Self::decode_halves(&mut from)?;
        from.0.is_empty().then_some(Self {
            body_hash,
            windows,
            ..halves
        })
    }

    /// Where the offers stand in what [`encode_halves`](Self::encode_halves) wrote.
    pub(crate) fn offers_of_halves(bytes: &[u8]) -> Option<&[u8]> {
        let mut from = Reader(bytes);
        let skip_texts = |from: &mut Reader<'_>, count: usize| {
            (0..count).try_for_each(|_| from.bytes().map(drop))
        };
        for _ in 0..from.u32()? {
            skip_texts(&mut from, SERVICE_TEXTS + 1)?;
        }
        for _ in 0..from.u32()? {
            let is_entity = from.u8()? >= 2;
            skip_texts(&mut from, SERVICE_TEXTS + if is_entity { 2 } else { 4 })?;
        }
        let count = from.count(Offer::BYTES)?;
        from.take(count * Offer::BYTES)
    }

    pub(crate) fn decode_halves(from: &mut Reader<'_>) -> Option<Self> {
        let mut derived = Self::default();
        for _ in 0..from.u32()? {
            derived.parties.push(Party {
                service: from.service()?,
                operation: from.text()?,
            });
        }
        for _ in 0..from.u32()? {
            let kind = from.u8()?;
            let service = from.service()?;
            derived.targets.push(match kind {
                0 | 1 => Target::Call {
                    service,
                    is_async: kind == 1,
                    transport: from.text()?,
                    peer: from.text()?,
                    target: from.text()?,
                    call_id: from.text()?,
                },
                2 | 3 => Target::Entity {
                    service,
                    database: from.text()?,
                    entity: from.text()?,
                    is_write: kind == 3,
                },
                _ => return None,
            });
        }
        let (parties, targets) = (derived.parties.len(), derived.targets.len());
        let known = |index: u32, len: usize| index == NONE || (index as usize) < len;
        let count = from.count(Offer::BYTES)?;
        derived.offers.reserve_exact(count);
        for _ in 0..count {
            let offer = Offer::read(from)?;
            if !known(offer.op, parties) || !known(offer.call, targets) {
                return None;
            }
            derived.offers.push(offer);
        }
        let count = from.count(Want::BYTES)?;
        derived.wants.reserve_exact(count);
        for _ in 0..count {
            let want = Want::read(from)?;
            let subjects = if want.is_request() { parties } else { targets };
            if want.subject as usize >= subjects
                || !known(want.op, parties)
                || !known(want.call, targets)
            {
                return None;
            }
            derived.wants.push(want);
        }
        Some(derived)
    }
}

/// Writes little-endian.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn len(&mut self, len: usize) {
        self.u32(u32::try_from(len).unwrap_or(u32::MAX));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.len(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn service(&mut self, service: &ServiceId) {
        [
            &service.tenant,
            &service.namespace,
            &service.environment,
            &service.service,
            &service.version,
        ]
        .into_iter()
        .for_each(|text| self.text(text));
    }
}

/// Reads what [`Writer`] wrote.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// How many records of a size follow; not more than the bytes that are left.
    pub(crate) fn count(&mut self, bytes_each: usize) -> Option<usize> {
        let count = self.u32()? as usize;
        (count <= self.0.len() / bytes_each).then_some(count)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()? as usize;
        self.take(len)
    }

    fn text(&mut self) -> Option<Arc<str>> {
        std::str::from_utf8(self.bytes()?).ok().map(Into::into)
    }

    fn service(&mut self) -> Option<Arc<ServiceId>> {
        let mut next = || Some(self.text()?.to_string());
        Some(Arc::new(ServiceId {
            tenant: next()?,
            namespace: next()?,
            environment: next()?,
            service: next()?,
            version: next()?,
        }))
    }
}
