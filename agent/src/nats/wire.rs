//! The length of what is published, as the protocol frames it.

use async_nats::HeaderMap;

/// Bytes of a `PUB` or, with headers, `HPUB` on the wire: `PUB subject [reply] length\r\npayload\r\n`.
pub(super) fn publish_bytes(
    subject: &str,
    reply_bytes: Option<usize>,
    headers: Option<&HeaderMap>,
    payload_bytes: usize,
) -> u64 {
    let reply_bytes = reply_bytes.map_or(0, |bytes| bytes + 1);
    let names_bytes = subject.len() + 1 + reply_bytes;
    let bytes = match headers {
        Some(headers) if !headers.is_empty() => {
            let headers_bytes = header_bytes(headers);
            let total_bytes = headers_bytes + payload_bytes;
            let lengths = digits(headers_bytes) + 1 + digits(total_bytes);
            "HPUB ".len() + names_bytes + lengths + 2 + total_bytes + 2
        }
        _ => "PUB ".len() + names_bytes + digits(payload_bytes) + 2 + payload_bytes + 2,
    };
    bytes as u64
}

/// Bytes of a block of headers.
pub(super) fn header_bytes(headers: &HeaderMap) -> usize {
    let lines = headers.iter().flat_map(|(name, values)| {
        let name: &str = name.as_ref();
        values
            .iter()
            .map(|value| name.len() + 2 + value.as_str().len() + 2)
    });
    "NATS/1.0\r\n".len() + lines.sum::<usize>() + 2
}

fn digits(n: usize) -> usize {
    n.checked_ilog10().map_or(1, |log| log as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_protocol() {
        let lengths = [0, 1, 9, 10, 99, 100, 1_000_000];
        for length in lengths {
            let plain = format!("PUB a.b {length}\r\n").len() + length + 2;
            assert_eq!(publish_bytes("a.b", None, None, length), plain as u64);
            let replied = format!("PUB a.b _INBOX.x {length}\r\n").len() + length + 2;
            assert_eq!(publish_bytes("a.b", Some(8), None, length), replied as u64);
            let mut headers = HeaderMap::new();
            assert_eq!(
                publish_bytes("a.b", None, Some(&headers), length),
                plain as u64,
                "an empty block is not sent"
            );
            headers.append("one", "1");
            headers.append("one", "2");
            headers.append("Nats-Msg-Id", "x");
            let block = "NATS/1.0\r\none: 1\r\none: 2\r\nNats-Msg-Id: x\r\n\r\n".len();
            let total = block + length;
            let framed = format!("HPUB a.b {block} {total}\r\n").len() + total + 2;
            assert_eq!(
                publish_bytes("a.b", None, Some(&headers), length),
                framed as u64
            );
        }
    }
}
