//! The test harness: tests can be skipped at run time if the host does not meet their requirements.

use libtest_mimic::{Completion, Failed, Trial};
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, set_hook, take_hook};

/// The panic payload of a skipped test.
struct Skip(String);

/// Skips a test that cannot run on this host. If `CI` is set, the test fails instead.
pub(crate) fn skip(reason: &str) -> ! {
    assert!(std::env::var_os("CI").is_none(), "this test must not be skipped in CI: {reason}");
    panic_any(Skip(reason.to_owned()))
}

/// Skips a test that needs optional input that is not part of the project, for example third-party content. Also in CI.
pub(crate) fn skip_optional(reason: &str) -> ! {
    panic_any(Skip(reason.to_owned()))
}

thread_local! {
    /// Whether panics of this thread are expected.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` and returns `None` if it panics, without a panic message.
pub(crate) fn tried<T>(work: impl FnOnce() -> T) -> Option<T> {
    EXPECTED.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    EXPECTED.set(false);
    result.ok()
}

/// Suppresses the panic messages of skipped tests and of expected panics.
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
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("the test panicked").to_owned()
}

/// Defines the tests of a module. Tests that take long or need a browser are listed after `nightly`.
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
