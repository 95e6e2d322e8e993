//! Tests that can say, while they run, what of the host they lack.

use libtest_mimic::{Completion, Failed, Trial};
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, set_hook, take_hook};

/// What a test that cannot be run here unwinds with.
struct Skip(String);

/// Ends a test that cannot be run here. Where `CI` is set that is a failure: nothing is silently not tested.
pub(crate) fn skip(reason: &str) -> ! {
    assert!(std::env::var_os("CI").is_none(), "CI must be able to run this: {reason}");
    panic_any(Skip(reason.to_owned()))
}

/// Ends a test of what the project does not hold, for example content of others, where nobody named it.
pub(crate) fn skip_optional(reason: &str) -> ! {
    panic_any(Skip(reason.to_owned()))
}

thread_local! {
    /// Whether panics of this thread are expected.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// What does not work out gives nothing, and shows nothing.
pub(crate) fn tried<T>(work: impl FnOnce() -> T) -> Option<T> {
    EXPECTED.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    EXPECTED.set(false);
    result.ok()
}

/// A skip is not a panic for those who read the output, nor is one that a test expects.
pub(crate) fn quiet_skips() {
    let shown = take_hook();
    set_hook(Box::new(move |panic| {
        if !panic.payload().is::<Skip>() && !EXPECTED.get() {
            shown(panic);
        }
    }));
}

pub(crate) fn trial(module: &str, name: &str, test: fn()) -> Trial {
    let module = module.split_once("::").map_or("", |(_, module)| module);
    Trial::ignorable_test(format!("{module}::{name}"), move || match catch_unwind(AssertUnwindSafe(test)) {
        Ok(()) => Ok(Completion::Completed),
        Err(payload) => match payload.downcast::<Skip>() {
            Ok(skip) => Ok(Completion::ignored_with(skip.0)),
            Err(payload) => Err(Failed::from(message(payload.as_ref()))),
        },
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}

/// The tests of a module; those that take long, or want a browser, come after `nightly`.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)? $(; nightly: $($long:ident),* $(,)?)?) => {
        pub(crate) fn tests() -> Vec<libtest_mimic::Trial> {
            vec![
                $($crate::harness::trial(module_path!(), stringify!($name), $name),)*
                $($($crate::harness::trial(module_path!(), stringify!($long), $long).with_ignored_flag(true),)*)?
            ]
        }
    };
}
