//! A pack during its download.

use super::super::client::Client;
use super::CHUNK;
use crate::template::Bytes;
use std::io::{self, Read, Write};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

/// Message from the download thread.
pub(super) enum DownloadMessage {
    Bytes(Vec<u8>),
    End(End, io::Error),
}

/// Which side ended the transfer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Line,
    Host,
}

/// Copies the download to the file and to the thread that unpacks it.
pub(super) fn send_all(
    download: &mut impl Read,
    file: &mut std::fs::File,
    largest: u64,
    sender: &SyncSender<DownloadMessage>,
) {
    let mut length = file.metadata().map_or(0, |metadata| metadata.len());
    loop {
        let mut bytes = vec![0; CHUNK];
        let chunk = match download.read(&mut bytes) {
            Ok(0) => return,
            Ok(count) if length + count as u64 > largest => {
                // The unpacking thread detects that the pack is truncated.
                return;
            }
            Ok(count) => {
                bytes.truncate(count);
                length += count as u64;
                match file.write_all(&bytes) {
                    Ok(()) => DownloadMessage::Bytes(bytes),
                    Err(error) => DownloadMessage::End(End::Host, error),
                }
            }
            Err(error) => DownloadMessage::End(End::Line, error),
        };
        let last = matches!(chunk, DownloadMessage::End(..));
        if sender.send(chunk).is_err() || last {
            return;
        }
    }
}

/// The receiving end, for the unpacking thread.
pub(super) struct PackReader<'c, 'p> {
    pub(super) receiver: Receiver<DownloadMessage>,
    pub(super) chunk: Vec<u8>,
    pub(super) at: usize,
    pub(super) client: &'c Client<'p>,
    pub(super) end: Option<End>,
}

impl Read for PackReader<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            match self.receiver.recv() {
                Ok(DownloadMessage::Bytes(chunk)) => {
                    self.client.source.count(chunk.len() as u64);
                    (self.chunk, self.at) = (chunk, 0);
                }
                Ok(DownloadMessage::End(end, error)) => {
                    self.end = Some(end);
                    return Err(error);
                }
                Err(_) => return Ok(0),
            }
        }
        let count = buffer.len().min(self.chunk.len() - self.at);
        buffer[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// Reports the download progress a few times per second.
pub(super) struct Told<'c, 'p> {
    pub(super) client: &'c Client<'p>,
    pub(super) began: Instant,
    pub(super) before: u64,
    pub(super) last: Mutex<Instant>,
}

impl Told<'_, '_> {
    pub(super) fn report_periodically(&self) {
        const PAUSE: Duration = Duration::from_millis(200);
        let Ok(mut last) = self.last.try_lock() else { return };
        if last.elapsed() < PAUSE {
            return;
        }
        *last = Instant::now();
        self.client.progress.status(amount(self.client.source.fetched() - self.before, self.began.elapsed()));
    }
}

/// Formats the number of bytes and the rate.
pub(crate) fn amount(bytes: u64, time: Duration) -> String {
    let rate = bytes as f64 / time.as_secs_f64().max(0.001);
    format!("{}, {}/s", Bytes(bytes), Bytes(rate as u64))
}
