//! The memory budget of guests that run in parallel.

use crate::host::available_memory;
use crate::template::Bytes;
use std::sync::{Condvar, Mutex};

/// Memory that is free for guests, in MiB. A request above the total is reduced to the total.
pub(crate) struct MemoryBudget {
    total: u32,
    free: Mutex<u32>,
    given_back: Condvar,
}

/// Memory reserved for a guest until this is dropped.
pub(crate) struct Taken<'r> {
    room: &'r MemoryBudget,
    amount: u32,
}

impl MemoryBudget {
    pub(crate) fn new(total: u32) -> MemoryBudget {
        MemoryBudget { total, free: Mutex::new(total), given_back: Condvar::new() }
    }

    /// Three quarters of the available memory. If it is unknown, guests run one at a time.
    pub(crate) fn of_this_host() -> MemoryBudget {
        let most = available_memory() / Bytes::MIB * 3 / 4;
        MemoryBudget::new(u32::try_from(most).unwrap_or(u32::MAX).max(1))
    }

    /// Waits until the memory is available.
    pub(crate) fn take(&self, amount: u32) -> Taken<'_> {
        let amount = amount.min(self.total);
        let mut free = self.free.lock().unwrap_or_else(|e| e.into_inner());
        while *free < amount {
            free = self.given_back.wait(free).unwrap_or_else(|e| e.into_inner());
        }
        *free -= amount;
        Taken { room: self, amount }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.room.free.lock().unwrap_or_else(|e| e.into_inner()) += self.amount;
        self.room.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn reservations_never_exceed_the_budget() {
        let room = MemoryBudget::new(10);
        let (now, most) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for amount in [3, 4, 99, 5, 6, 10, 1] {
                let (room, now, most) = (&room, &now, &most);
                scope.spawn(move || {
                    let _taken = room.take(amount);
                    let sum = now.fetch_add(amount.min(10), Ordering::SeqCst) + amount.min(10);
                    most.fetch_max(sum, Ordering::SeqCst);
                    std::thread::yield_now();
                    now.fetch_sub(amount.min(10), Ordering::SeqCst);
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 10);
        assert_eq!(*room.free.lock().unwrap(), 10);
    }
}
