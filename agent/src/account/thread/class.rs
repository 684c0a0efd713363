//! Which class this thread's account is in.

use weighbridge_wire::Class;

use super::{THREAD, Thread};
use crate::account::Whose;

/// Makes a class current if its owner is so already, and tells the one before.
#[inline]
pub(in crate::account) fn enter_class_of(whose: Whose, class: Class) -> Option<Class> {
    let enter = |thread: &Thread| {
        (thread.whose.get() == whose).then(|| {
            let before = thread.class.get();
            if before != class {
                thread.turn_class(class);
            }
            before
        })
    };
    THREAD.try_with(enter).ok().flatten()
}

/// Changes the class of the current owner, if there is one and the class is none in which everything stays.
#[inline]
pub(in crate::account) fn enter_class(class: Class) -> Option<Class> {
    let enter = |thread: &Thread| {
        let before = thread.class.get();
        if !thread.has_owner() || before == class || before == Class::Store {
            return None;
        }
        thread.turn_class(class);
        Some(before)
    };
    THREAD.try_with(enter).ok().flatten()
}

/// Goes back to the class before.
#[inline]
pub(in crate::account) fn come_back_to_class(class: Class) {
    let _ = THREAD.try_with(|thread| {
        if thread.class.get() != class && thread.has_owner() {
            thread.turn_class(class);
        }
    });
}

/// Goes back to the class before with the next reading, whoever takes it: what lies between is still booked to
/// the class that is left.
#[inline]
pub(in crate::account) fn come_back_soon(class: Class) {
    let _ = THREAD.try_with(|thread| {
        if thread.has_owner() {
            thread.class.set(class);
        }
    });
}

/// Books to `class` what passed since the last reading, unless an owner's class is left soon or keeps everything.
#[inline]
pub(in crate::account) fn was_in_class(class: Class) {
    let _ = THREAD.try_with(|thread| {
        let current = thread.class.get();
        if thread.has_owner() && current != Class::Store && thread.booking.get() == current {
            thread.booking.set(class);
            thread.turn_class(current);
        }
    });
}

/// Takes the reading that [`come_back_soon`] left out, if nobody has since.
#[inline]
pub(in crate::account) fn have_come_back() {
    let _ = THREAD.try_with(|thread| {
        if thread.booking.get() != thread.class.get() && thread.has_owner() {
            thread.turn_class(thread.class.get());
        }
    });
}
