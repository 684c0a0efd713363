//! Codecs for tonic whose work is told apart from the handler's.
//!
//! A response is encoded when the handler has long returned, so only a codec can say what it costs. In a build
//! script:
//!
//! ```ignore
//! tonic_prost_build::configure().codec_path("weighbridge_agent::grpc::ProstCodec")
//! ```
//!
//! or by hand, around any codec:
//!
//! ```
//! use weighbridge_agent::grpc::Codec;
//! let codec: Codec<tonic_prost::ProstCodec<(), ()>> = Codec::default();
//! ```
//!
//! On the server the CPU is on the operation and on the callee's side of the edge. In a client it is on the operation
//! that calls, and on the caller's side of the edge when the channel is weighed, by [`client`] or
//! [`client_layer`](client_layer()): the channel encodes in tasks of its own, to which the request's body carries the
//! account of whoever calls. In a channel that is not weighed, decoding is on the operation that calls, and encoding is
//! the channel's tasks'. Compression and framing, which tonic does itself, are class `handler` on the server, and so is
//! the framing of what a client sends. Messages and bytes are counted by the layers, with any codec.
//!
//! ```
//! # fn open(endpoint: tonic::transport::Endpoint) {
//! let channel = weighbridge_agent::grpc::client(endpoint.connect_lazy(), "warehouse", endpoint.uri());
//! // let warehouse = StockClient::new(channel); what tonic has generated
//! # let _ = channel;
//! # }
//! ```

use http::Uri;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::{BufferSettings, DecodeBuf, Decoder, EncodeBuf, Encoder};
use weighbridge_wire::Class;

use super::side::{self, Producing, Read};
use crate::account::timed_class;
use crate::bill::Bill;
use crate::client_layer::{CallRecord, CallRequestBody, Calls, Carry, ClientLayer};

/// In the form that tonic's channels take.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct InBody;

impl Carry<Body> for InBody {
    type Sent = Body;

    fn carry(body: CallRequestBody<Body>) -> Body {
        Body::new(body)
    }
}

/// A channel, or a stack of layers around one, whose calls are weighed.
pub type Client<S> = Calls<S, InBody>;

/// Weighs the calls over a channel, to be given to a client that tonic has generated. `peer` is what this service
/// calls the one at the other end, and `at` says where that is (an endpoint knows its own `uri()`): our headers go
/// along only where it is trusted. What is recorded, and when, is said in the docs of
/// [`client_layer`](crate::client_layer()).
pub fn client<S>(channel: S, peer: &str, at: &Uri) -> Client<S> {
    tower_layer::Layer::layer(&client_layer(peer).at(at), channel)
}

/// The same as a tower layer, for a stack around a channel. Say with [`ClientLayer::at`] where the peer is.
#[must_use]
pub fn client_layer(peer: &str) -> ClientLayer<InBody> {
    ClientLayer::of(peer)
}

/// A codec around another one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Codec<C>(C);

/// The codec that tonic generates code for, weighed.
pub type ProstCodec<T, U> = Codec<tonic_prost::ProstCodec<T, U>>;

impl<C> Codec<C> {
    /// Weighs a codec.
    pub fn new(inner: C) -> Self {
        Self(inner)
    }
}

impl<C: tonic::codec::Codec> tonic::codec::Codec for Codec<C> {
    type Encode = C::Encode;
    type Decode = C::Decode;
    type Encoder = WeighedEncoder<C::Encoder>;
    type Decoder = WeighedDecoder<C::Decoder>;

    fn encoder(&mut self) -> Self::Encoder {
        WeighedEncoder(self.0.encoder())
    }

    fn decoder(&mut self) -> Self::Decoder {
        WeighedDecoder {
            inner: self.0.decoder(),
            of: None,
        }
    }
}

/// Encodes in class `encode`.
#[derive(Clone, Copy, Debug)]
pub struct WeighedEncoder<E>(E);

impl<E: Encoder<Error = Status>> Encoder for WeighedEncoder<E> {
    type Item = E::Item;
    type Error = Status;

    fn encode(&mut self, item: E::Item, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        match side::produced() {
            Producing::Call(record) => {
                let (result, cpu_ns) = timed_class(Class::Encode, || self.0.encode(item, buf));
                record.encoded(cpu_ns);
                result
            }
            producing => {
                let Some(bill) = Bill::current_weighed() else {
                    return self.0.encode(item, buf);
                };
                let (result, cpu_ns) = timed_class(Class::Encode, || self.0.encode(item, buf));
                if matches!(producing, Producing::Answer) {
                    bill.with_callee(|figures| {
                        figures.encode_ns = Some(figures.encode_ns.unwrap_or(0) + cpu_ns);
                    });
                }
                result
            }
        }
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}

/// Decodes in class `decode`.
#[derive(Clone, Debug)]
pub struct WeighedDecoder<D> {
    inner: D,
    /// Whose messages it decodes; known at the first one.
    of: Option<Decoded>,
}

/// Whose messages are decoded.
#[derive(Clone, Debug)]
enum Decoded {
    /// Of the request that runs.
    Request,
    /// The answer to a call. Keeps its record open until the last message is decoded.
    Answer(CallRecord),
    /// Of a call that nobody weighs.
    Other,
}

impl Decoded {
    fn of(read: Read) -> Self {
        match read {
            Read::Request => Self::Request,
            Read::Answer(record) => record.upgrade().map_or(Self::Other, Self::Answer),
            Read::Nothing => Self::Other,
        }
    }
}

impl<D: Decoder<Error = Status>> Decoder for WeighedDecoder<D> {
    type Item = D::Item;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<D::Item>, Status> {
        let of = self
            .of
            .get_or_insert_with(|| Decoded::of(side::take_read()));
        let bill = Bill::current_weighed();
        if bill.is_none() && !matches!(of, Decoded::Answer(_)) {
            return self.inner.decode(buf);
        }
        let (result, cpu_ns) = timed_class(Class::Decode, || self.inner.decode(buf));
        match (of, bill) {
            (Decoded::Answer(record), _) => record.decoded(cpu_ns),
            (Decoded::Request, Some(bill)) => bill.with_callee(|figures| {
                figures.decode_ns = Some(figures.decode_ns.unwrap_or(0) + cpu_ns);
            }),
            _ => {}
        }
        result
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.inner.buffer_settings()
    }
}
