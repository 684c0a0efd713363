//! Whose message a codec of gRPC works on: the current request's own, or one that the request sends on. The codec
//! cannot tell, so the layer's bodies leave a note on the thread.

use std::cell::Cell;

thread_local! {
    static ANSWERING: Cell<bool> = const { Cell::new(false) };
    static REQUEST_READ: Cell<bool> = const { Cell::new(false) };
}

/// Runs the poll of a response body: what is encoded meanwhile is the answer.
pub(crate) fn answering<R>(poll: impl FnOnce() -> R) -> R {
    /// Also when the poll unwinds.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            let _ = ANSWERING.try_with(|answering| answering.set(self.0));
        }
    }
    let before = ANSWERING.try_with(|answering| answering.replace(true));
    let _restore = Restore(before.unwrap_or(false));
    poll()
}

/// True inside [`answering`].
pub(crate) fn is_answering() -> bool {
    ANSWERING.try_with(Cell::get).unwrap_or(false)
}

/// A request's body was polled; `data` when it gave any, to be decoded at once.
pub(crate) fn request_was_read(data: bool) {
    let _ = REQUEST_READ.try_with(|read| read.set(data));
}

/// True when data of a request's body has just been read on this thread. A decoder asks before its first message,
/// right after it has read.
pub(crate) fn take_request_read() -> bool {
    REQUEST_READ
        .try_with(|read| read.replace(false))
        .unwrap_or(false)
}
