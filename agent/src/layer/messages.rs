//! The messages within a body of gRPC.

use std::sync::Arc;

use bytes::Buf;

use crate::bill::Bill;

/// Flag byte and length.
const PREFIX_BYTES: usize = 5;

/// Follows the frames of a body: each message is a flag byte, four bytes of length, and so many bytes.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    /// The prefix as far as it has come.
    prefix: [u8; PREFIX_BYTES],
    prefix_len: usize,
    /// Bytes of the present message still to come, once its prefix is there.
    rest: Option<u64>,
    /// The body came in a form that cannot be looked into.
    blind: bool,
}

impl Messages {
    /// For bodies whose messages count.
    #[inline]
    pub(crate) fn of(bill: Option<&Arc<Bill>>) -> Option<Box<Self>> {
        bill.is_some_and(|bill| bill.counts_messages())
            .then(Box::default)
    }

    /// Looks through data that passes. `message` is called with the size of each message that is complete, its
    /// prefix included.
    pub(crate) fn pass(&mut self, data: &impl Buf, mut message: impl FnMut(u64)) {
        let mut bytes = data.chunk();
        if bytes.len() < data.remaining() {
            self.blind = true;
        }
        while !bytes.is_empty() && !self.blind {
            if self.rest.is_none() {
                let n = bytes.len().min(PREFIX_BYTES - self.prefix_len);
                self.prefix[self.prefix_len..self.prefix_len + n].copy_from_slice(&bytes[..n]);
                self.prefix_len += n;
                bytes = &bytes[n..];
                if self.prefix_len < PREFIX_BYTES {
                    return;
                }
                self.rest = Some(self.message_len());
            }
            let Some(rest) = self.rest else { return };
            let n = rest.min(bytes.len() as u64);
            bytes = &bytes[usize::try_from(n).unwrap_or(bytes.len())..];
            self.rest = Some(rest - n);
            if rest == n {
                message(PREFIX_BYTES as u64 + self.message_len());
                self.rest = None;
                self.prefix_len = 0;
            }
        }
    }

    fn message_len(&self) -> u64 {
        let [_, a, b, c, d] = self.prefix;
        u64::from(u32::from_be_bytes([a, b, c, d]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(len: u32) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(len.to_be_bytes());
        bytes.extend(vec![7; len as usize]);
        bytes
    }

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let sizes = [0, 3, 300, 0, 1];
        let body: Vec<u8> = sizes.iter().flat_map(|len| message(*len)).collect();
        let expected: Vec<u64> = sizes.iter().map(|len| u64::from(*len) + 5).collect();
        for cut in 1..=body.len() {
            let (mut messages, mut seen) = (Messages::default(), Vec::new());
            for piece in body.chunks(cut) {
                messages.pass(&piece, |bytes| seen.push(bytes));
            }
            assert_eq!(seen, expected, "cut into pieces of {cut}");
        }
    }

    #[test]
    fn half_a_message_is_none() {
        let (mut messages, mut seen) = (Messages::default(), 0);
        messages.pass(&&message(10)[..14], |_| seen += 1);
        assert_eq!(seen, 0);
        messages.pass(&&[7][..], |_| seen += 1);
        assert_eq!(seen, 1);
    }

    #[test]
    fn data_that_cannot_be_looked_into_is_left_alone() {
        let (mut messages, mut seen) = (Messages::default(), 0);
        let body = message(1);
        messages.pass(&body[..3].chain(&body[3..]), |_| seen += 1);
        messages.pass(&&body[..], |_| seen += 1);
        assert_eq!(seen, 0);
    }
}
