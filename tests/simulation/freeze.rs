//! Freezing a process: a future that makes no progress while its switch is on.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

#[derive(Default)]
pub struct FreezeSwitch {
    frozen: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl FreezeSwitch {
    /// Freezes the future or lets it continue. The future is polled again in both cases.
    pub fn set(&self, frozen: bool) {
        self.frozen.store(frozen, Ordering::Relaxed);
        if let Some(waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            waker.wake_by_ref();
        }
    }
}

pub struct Freezable<F> {
    pub inner: Pin<Box<F>>,
    pub switch: Arc<FreezeSwitch>,
}

impl<F: Future> Future for Freezable<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        *self.switch.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        if self.switch.frozen.load(Ordering::Relaxed) { Poll::Pending } else { self.inner.as_mut().poll(cx) }
    }
}
