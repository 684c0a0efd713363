//! Decompression with an upper bound on the result.

use std::io::Read;

use bytes::Bytes;

use super::Refusal;
use crate::store::Encoding;

/// Most of what a frame may ask its reader to remember, bytes: what RFC 9659 allows a sender over HTTP.
const ZSTD_WINDOW_BYTES_MAX: u64 = 8 << 20;
/// What is read before memory is asked for again, bytes; then as much as there is already.
const STEP_BYTES: usize = 64 << 10;
/// Bytes that may be held for a byte that came out: where they are put together they are copied as they grow.
const HELD_BYTES_PER_BYTE: usize = 2;

/// Inflates a body to at most `limit_bytes`. What it holds meanwhile, all of it in bytes, is asked for before it is
/// taken, whatever the body claims.
///
/// # Errors
/// [`Refusal::TooLarge`], [`Refusal::Window`] and [`Refusal::Malformed`], and what `reserve` says.
pub(crate) fn inflate(
    encoding: Encoding,
    body: &Bytes,
    limit_bytes: usize,
    reserve: &mut dyn FnMut(usize) -> Result<(), Refusal>,
) -> Result<Bytes, Refusal> {
    match encoding {
        Encoding::Identity if body.len() > limit_bytes => Err(Refusal::TooLarge { limit_bytes }),
        Encoding::Identity | Encoding::Derived => Ok(body.clone()),
        Encoding::Gzip => bounded(
            flate2::read::MultiGzDecoder::new(&body[..]),
            limit_bytes,
            reserve,
        ),
        Encoding::Zstd => {
            // The decoder keeps a whole window before it gives anything, and believes any size.
            let window_bytes = match zstd_window(body) {
                Some(ZstdWindow::Asked(bytes)) if bytes > ZSTD_WINDOW_BYTES_MAX => {
                    return Err(Refusal::Window {
                        limit_bytes: ZSTD_WINDOW_BYTES_MAX,
                    });
                }
                Some(ZstdWindow::Content(bytes)) if bytes > limit_bytes as u64 => {
                    return Err(Refusal::TooLarge { limit_bytes });
                }
                Some(ZstdWindow::Asked(bytes) | ZstdWindow::Content(bytes)) => bytes,
                // The decoder says what is wrong.
                None => 0,
            };
            let window_bytes = usize::try_from(window_bytes).unwrap_or(usize::MAX);
            let mut decoder = ruzstd::decoding::StreamingDecoder::new(&body[..])
                .map_err(|error| Refusal::Malformed(format!("zstd: {error}")))?;
            let inflated = bounded(&mut decoder, limit_bytes, &mut |bytes| {
                reserve(bytes.saturating_add(window_bytes))
            })?;
            if !decoder.get_ref().is_empty() {
                return Err(Refusal::Malformed("zstd: more than one frame".into()));
            }
            Ok(inflated)
        }
    }
}

/// What a frame of zstd makes its reader remember, bytes.
#[derive(Debug, PartialEq, Eq)]
enum ZstdWindow {
    /// As much as the frame says.
    Asked(u64),
    /// All of its content, the length of which it says.
    Content(u64),
}

/// By the frame's header, RFC 8878, 3.1.1.1. `None` where it has none.
fn zstd_window(body: &[u8]) -> Option<ZstdWindow> {
    const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    let rest = body.strip_prefix(&MAGIC)?;
    let (descriptor, rest) = rest.split_first()?;
    let is_single_segment = descriptor & 0x20 != 0;
    if !is_single_segment {
        let window = rest.first()?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(ZstdWindow::Asked(base + base / 8 * u64::from(window & 7)));
    }
    let dictionary_len = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let (len, above) = [(1, 0), (2, 256), (4, 0), (8, 0)][usize::from(descriptor >> 6)];
    let size = rest.get(dictionary_len..dictionary_len + len)?;
    let mut bytes = [0; 8];
    bytes[..len].copy_from_slice(size);
    Some(ZstdWindow::Content(
        u64::from_le_bytes(bytes).saturating_add(above),
    ))
}

fn bounded(
    mut reader: impl Read,
    limit_bytes: usize,
    reserve: &mut dyn FnMut(usize) -> Result<(), Refusal>,
) -> Result<Bytes, Refusal> {
    let mut inflated = Vec::new();
    loop {
        // One byte more than is allowed tells that there is more.
        let room = (limit_bytes - inflated.len()).saturating_add(1);
        let step = inflated.len().max(STEP_BYTES).min(room);
        reserve((inflated.len() + step).saturating_mul(HELD_BYTES_PER_BYTE))?;
        let read = reader
            .by_ref()
            .take(step as u64)
            .read_to_end(&mut inflated)
            .map_err(|error| Refusal::Malformed(format!("decompression failed: {error}")))?;
        if inflated.len() > limit_bytes {
            return Err(Refusal::TooLarge { limit_bytes });
        }
        if read < step {
            return Ok(inflated.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// As [`super::inflate`], with all the memory that there is.
    fn inflate(encoding: Encoding, body: &Bytes, limit_bytes: usize) -> Result<Bytes, Refusal> {
        super::inflate(encoding, body, limit_bytes, &mut |_| Ok(()))
    }

    /// A frame that asks for a window of 2^`log` bytes and says a byte 128 Ki times in four, over and over.
    fn bomb(log: u8, blocks: usize) -> Bytes {
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3];
        for n in 1..=blocks {
            let repeated = 1 << 1;
            let header: u32 = 0x2_0000 << 3 | repeated | u32::from(n == blocks);
            frame.extend(&header.to_le_bytes()[..3]);
            frame.push(0);
        }
        frame.into()
    }

    #[test]
    fn s1_a_zstd_frame_gets_no_larger_window_than_http_allows() {
        for log in [24, 30, 41] {
            let refused = inflate(Encoding::Zstd, &bomb(log, 1), 1 << 20);
            assert!(
                matches!(refused, Err(Refusal::Window { .. })),
                "2^{log}: {refused:?}"
            );
        }
        let read = inflate(Encoding::Zstd, &bomb(23, 2), 1 << 20).unwrap();
        assert_eq!(&read[..], vec![0; 256 << 10]);
        let refused = inflate(Encoding::Zstd, &bomb(23, 100), 1 << 20);
        assert!(matches!(refused, Err(Refusal::TooLarge { .. })));
    }

    #[test]
    fn the_window_of_a_zstd_frame_is_read_from_its_header() {
        let of = |header: &[u8]| zstd_window(&[&[0x28, 0xb5, 0x2f, 0xfd], header].concat());
        assert_eq!(
            of(&[0, 0x6b]),
            Some(ZstdWindow::Asked(8 * 1024 * 1024 * 11 / 8))
        );
        // Of one segment, with lengths of the content in 1, 2, 4 and 8 bytes, some behind a dictionary's number.
        assert_eq!(of(&[0x20, 200]), Some(ZstdWindow::Content(200)));
        assert_eq!(of(&[0x61, 9, 1, 1]), Some(ZstdWindow::Content(257 + 256)));
        assert_eq!(
            of(&[0xa2, 9, 9, 1, 2, 0, 0]),
            Some(ZstdWindow::Content(513))
        );
        let long = [&[0xe3, 9, 9, 9, 9][..], &[0xff; 8]].concat();
        assert_eq!(of(&long), Some(ZstdWindow::Content(u64::MAX)));
        assert_eq!(of(&[0xe3, 9, 9]), None);
        assert_eq!(zstd_window(b"no zstd"), None);
    }

    #[test]
    fn memory_is_asked_for_before_it_is_taken() {
        let plain = vec![7; 1 << 20];
        for (encoding, body, window) in [
            (Encoding::Gzip, gzip(&plain).into(), 0),
            (Encoding::Zstd, bomb(20, 8), 1 << 20),
        ] {
            let mut asked = Vec::new();
            let read = super::inflate(encoding, &body, 2 << 20, &mut |bytes| {
                asked.push(bytes);
                Ok(())
            });
            assert_eq!(read.unwrap().len(), 1 << 20);
            assert!(
                asked.is_sorted() && asked[0] <= window + 2 * STEP_BYTES,
                "{asked:?}"
            );
            assert!(asked.last().unwrap() >= &(window + (2 << 20)), "{asked:?}");
            let mut times = 0;
            let refused = super::inflate(encoding, &body, 2 << 20, &mut |bytes| {
                times += 1;
                if bytes > window + (1 << 20) {
                    return Err(Refusal::QueueFull);
                }
                Ok(())
            });
            assert!(matches!(refused, Err(Refusal::QueueFull)), "{refused:?}");
            assert!(times < 6, "no further");
        }
    }

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
