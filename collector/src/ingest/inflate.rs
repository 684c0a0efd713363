//! Decompression with an upper bound on the result.

use std::io::Read;

use bytes::Bytes;

use super::Refusal;
use crate::store::Encoding;

/// Inflates a body to at most `limit_bytes`. Memory never grows beyond that, whatever the body claims.
pub(crate) fn inflate(
    encoding: Encoding,
    body: &Bytes,
    limit_bytes: usize,
) -> Result<Bytes, Refusal> {
    match encoding {
        Encoding::Identity if body.len() > limit_bytes => Err(Refusal::TooLarge { limit_bytes }),
        Encoding::Identity | Encoding::Derived => Ok(body.clone()),
        Encoding::Gzip => bounded(flate2::read::MultiGzDecoder::new(&body[..]), limit_bytes),
        Encoding::Zstd => {
            // The decoder itself refuses windows beyond 100 MiB, and touches of one only what it fills.
            let mut decoder = ruzstd::decoding::StreamingDecoder::new(&body[..])
                .map_err(|error| Refusal::Malformed(format!("zstd: {error}")))?;
            let inflated = bounded(&mut decoder, limit_bytes)?;
            if !decoder.get_ref().is_empty() {
                return Err(Refusal::Malformed("zstd: more than one frame".into()));
            }
            Ok(inflated)
        }
    }
}

fn bounded(reader: impl Read, limit_bytes: usize) -> Result<Bytes, Refusal> {
    let mut inflated = Vec::new();
    reader
        .take(limit_bytes as u64 + 1)
        .read_to_end(&mut inflated)
        .map_err(|error| Refusal::Malformed(format!("decompression failed: {error}")))?;
    if inflated.len() > limit_bytes {
        return Err(Refusal::TooLarge { limit_bytes });
    }
    Ok(inflated.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn s1_a_bomb_stops_at_the_limit() {
        let bomb = Bytes::from(gzip(&vec![0; 64 << 20]));
        assert!(bomb.len() < 100_000);
        let outcome = inflate(Encoding::Gzip, &bomb, 1 << 20);
        assert!(
            matches!(outcome, Err(Refusal::TooLarge { .. })),
            "{outcome:?}"
        );
    }

    #[test]
    fn s1_many_members_count_together() {
        let member = gzip(&vec![0; 600_000]);
        let bomb = Bytes::from([&member[..], &member[..]].concat());
        assert!(matches!(
            inflate(Encoding::Gzip, &bomb, 1 << 20),
            Err(Refusal::TooLarge { .. })
        ));
        assert_eq!(
            inflate(Encoding::Gzip, &bomb, 1_200_000).unwrap().len(),
            1_200_000
        );
    }

    #[test]
    fn every_encoding_reads_back_and_half_of_it_is_refused() {
        let plain = Bytes::from_static(b"a ledger, a ledger, a ledger");
        let zstd = ruzstd::encoding::compress_to_vec(
            &plain[..],
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        for (encoding, body) in [
            (Encoding::Identity, plain.clone()),
            (Encoding::Gzip, gzip(&plain).into()),
            (Encoding::Zstd, zstd.into()),
        ] {
            assert_eq!(inflate(encoding, &body, 100).unwrap(), plain);
            assert_eq!(inflate(encoding, &body, plain.len()).unwrap(), plain);
            assert!(matches!(
                inflate(encoding, &body, plain.len() - 1),
                Err(Refusal::TooLarge { .. })
            ));
            if encoding != Encoding::Identity {
                let half = body.slice(..body.len() / 2);
                assert!(matches!(
                    inflate(encoding, &half, 100),
                    Err(Refusal::Malformed(_))
                ));
            }
        }
    }
}
