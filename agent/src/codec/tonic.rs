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
//! On the server the CPU is on the operation and on the callee's side of the edge. In a client, decoding is on the
//! operation that calls, and not on that edge; encoding happens in the tasks of tonic's channel, which are nobody's
//! unless its executor wraps them (in [`driver`](crate::driver()), say). Compression and framing, which tonic does itself, are class `handler`. Messages and bytes
//! are counted by the layer, with any codec.

use tonic::Status;
use tonic::codec::{BufferSettings, DecodeBuf, Decoder, EncodeBuf, Encoder};
use weighbridge_wire::Class;

use super::side;
use crate::account::timed_class;
use crate::bill::Bill;

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
            of_request: None,
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
        let Some(bill) = Bill::current_weighed() else {
            return self.0.encode(item, buf);
        };
        let (result, cpu_ns) = timed_class(Class::Encode, || self.0.encode(item, buf));
        if side::is_answering() {
            bill.with_callee(|figures| {
                figures.encode_ns = Some(figures.encode_ns.unwrap_or(0) + cpu_ns);
            });
        }
        result
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}

/// Decodes in class `decode`.
#[derive(Clone, Copy, Debug)]
pub struct WeighedDecoder<D> {
    inner: D,
    /// Whether it decodes the messages of the request that runs; known at the first one.
    of_request: Option<bool>,
}

impl<D: Decoder<Error = Status>> Decoder for WeighedDecoder<D> {
    type Item = D::Item;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<D::Item>, Status> {
        let Some(bill) = Bill::current_weighed() else {
            return self.inner.decode(buf);
        };
        let of_request = *self.of_request.get_or_insert_with(side::take_request_read);
        let (result, cpu_ns) = timed_class(Class::Decode, || self.inner.decode(buf));
        if of_request {
            bill.with_callee(|figures| {
                figures.decode_ns = Some(figures.decode_ns.unwrap_or(0) + cpu_ns);
            });
        }
        result
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.inner.buffer_settings()
    }
}
