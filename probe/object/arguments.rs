//! Puts secrets back into the host's arguments. Every user may read a command line
//! (`/proc/PID/cmdline`), only the same user an environment; so a word that holds a secret travels as
//! `{VARIABLE}what may be shown`, and here, before `main`, the word's pointer is turned to the
//! variable's value. What the kernel shows stays as it was.

use core::ffi::{CStr, c_char};

use crate::sys;
use crate::wire::{SECRET, SECRET_END};

/// The first argument of every viewer. A script that starts FFmpeg has its own path before it, and must
/// not get the secrets: it would put them into FFmpeg's command line.
const FIRST: &CStr = c"-hide_banner";
/// Longest command line that is searched, in words.
const MAX_ARGUMENTS: usize = 4096;
/// The kernel puts pointers and texts onto one stack, the texts behind; texts that are farther away have
/// been moved.
const FAR: usize = 32 << 20;
/// Longest name of a variable, with its zero byte.
const NAME: usize = 32;

/// Restores the secrets. Call it once, before the host's `main`.
pub(crate) fn restore() {
    let environment = sys::environment();
    if environment.is_null() {
        return;
    }
    // SAFETY: the list of variables ends in a null pointer, so it has a first word.
    let text = unsafe { *environment } as usize;
    if text.wrapping_sub(environment as usize) > FAR {
        return;
    }
    // Before the variables: the arguments, each a pointer, a null pointer, and before them their number.
    for count in 0..MAX_ARGUMENTS {
        // SAFETY: going back from the variables, every word up to the number of arguments is the stack's.
        let place = unsafe { environment.sub(count.wrapping_add(2)) };
        // SAFETY: as above.
        if unsafe { *place } as usize == count {
            // SAFETY: the arguments begin behind their number.
            return unsafe { each(place.add(1), count) };
        }
    }
}

/// # Safety
/// `arguments` points to `count` NUL-terminated texts.
unsafe fn each(arguments: *mut *mut c_char, count: usize) {
    // SAFETY: there is a second argument, NUL-terminated.
    if count < 2 || unsafe { CStr::from_ptr(*arguments.add(1)) } != FIRST {
        return;
    }
    for place in 2..count {
        // SAFETY: `place` is below `count`.
        unsafe {
            let word = arguments.add(place);
            let value = value_of(CStr::from_ptr(*word).to_bytes());
            if !value.is_null() {
                *word = value;
            }
        }
    }
}

/// The variable that `word` refers to; null if it does not refer to one.
fn value_of(word: &[u8]) -> *mut c_char {
    let none = core::ptr::null_mut();
    let Some(inside) = word.strip_prefix(b"{") else { return none };
    if !inside.starts_with(SECRET.as_bytes()) {
        return none;
    }
    let mut name = [0_u8; NAME];
    let end = SECRET_END.as_bytes().first().copied().unwrap_or_default();
    // One byte less: the name ends in a zero byte.
    for (to, from) in name.iter_mut().take(NAME.wrapping_sub(1)).zip(inside) {
        if *from == end {
            // SAFETY: the name is NUL-terminated.
            return unsafe { sys::getenv(name.as_ptr().cast()) }.cast_mut();
        }
        *to = *from;
    }
    none
}
