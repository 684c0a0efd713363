//! Whose message a codec of gRPC works on: the answer to the current request, that request itself, or a call that it
//! makes. The codec cannot tell, so the bodies leave a note on the thread.

use std::cell::RefCell;

use crate::client_layer::{CallRecord, WeakRecord};

/// What is encoded at the moment.
#[derive(Clone, Debug)]
pub(crate) enum Producing {
    /// Nothing that a body of ours is polled for.
    Nothing,
    /// The answer to the current request.
    Answer,
    /// A call.
    Call(CallRecord),
}

/// What was read last.
#[derive(Clone, Debug)]
pub(crate) enum Read {
    /// Nothing by a body of ours.
    Nothing,
    /// The current request.
    Request,
    /// The answer to a call.
    Answer(WeakRecord),
}

thread_local! {
    static PRODUCING: RefCell<Producing> = const { RefCell::new(Producing::Nothing) };
    static READ: RefCell<Read> = const { RefCell::new(Read::Nothing) };
}

/// Runs the poll of a response body: what is encoded meanwhile is the answer.
pub(crate) fn answering<R>(poll: impl FnOnce() -> R) -> R {
    producing(Producing::Answer, poll)
}

/// Runs the poll of a call's request body: what is encoded meanwhile is the call's.
pub(crate) fn calling<R>(record: &CallRecord, poll: impl FnOnce() -> R) -> R {
    producing(Producing::Call(record.clone()), poll)
}

fn producing<R>(what: Producing, poll: impl FnOnce() -> R) -> R {
    /// Also when the poll unwinds.
    struct Restore(Option<Producing>);
    impl Drop for Restore {
        fn drop(&mut self) {
            if let Some(before) = self.0.take() {
                drop(PRODUCING.try_with(|producing| producing.replace(before)));
            }
        }
    }
    let _restore = Restore(PRODUCING.try_with(|producing| producing.replace(what)).ok());
    poll()
}

/// What is encoded at the moment.
pub(crate) fn produced() -> Producing {
    PRODUCING
        .try_with(|producing| producing.borrow().clone())
        .unwrap_or(Producing::Nothing)
}

/// A request's body was polled; `data` when it gave any, to be decoded at once.
pub(crate) fn request_was_read(data: bool) {
    note(if data { Read::Request } else { Read::Nothing });
}

/// The body of a call's answer has given data, to be decoded at once.
pub(crate) fn answer_was_read(record: &CallRecord) {
    note(Read::Answer(record.downgrade()));
}

fn note(read: Read) {
    drop(READ.try_with(|last| last.replace(read)));
}

/// What has just been read on this thread. A decoder asks before its first message, right after it has read.
pub(crate) fn take_read() -> Read {
    READ.try_with(|last| last.replace(Read::Nothing))
        .unwrap_or(Read::Nothing)
}
