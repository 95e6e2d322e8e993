//! The network segment of a guest, inside this process: ARP, DHCP, DNS, NTP and HTTP servers, and connections to the
//! guest's ssh server. Nothing of the host or its network can be reached. QEMU sends and receives Ethernet frames over
//! a socket. Source: QEMU's man page, `-netdev socket,fd=`: each frame follows its length as a 32-bit big-endian
//! number.

mod http;
mod servers;

use crate::host::{Context, Failure};
#[cfg(test)]
pub(super) use http::Body;
use http::Outgoing as OutgoingResponse;
pub(super) use http::{Request, Response};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{tcp, udp};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpEndpoint};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The addresses of QEMU's user network, so that images see no difference.
pub(super) const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
pub(super) const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
const PREFIX: u8 = 24;
const OWN_MAC: EthernetAddress = EthernetAddress([0x52, 0x55, 0x0a, 0, 2, 2]);

/// HTTP connections that are served at the same time.
const MOST_CONNECTIONS: usize = 16;
/// iPXE has eight receive buffers on an e1000, and drops what arrives beyond them. Source: iPXE,
/// src/drivers/net/intel.h, INTEL_RX_FILL.
const HTTP_WINDOW: usize = 8 << 10;
const SSH_WINDOW: usize = 64 << 10;
/// Largest Ethernet frame, in bytes.
const LARGEST_FRAME: usize = 65_536;
/// A connection that sends nothing for this time is closed.
const IDLE: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(60);
/// Longest time without a look at the other sockets.
const TICK: Duration = Duration::from_millis(5);

/// What the segment has besides its fixed addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct LanOptions {
    /// The MTU that DHCP announces.
    pub mtu: Option<u16>,
    /// Further addresses at which the HTTP server answers.
    pub addresses: Vec<Ipv4Addr>,
    /// Names that the name server has.
    pub names: Vec<(String, Ipv4Addr)>,
    /// Whether DHCP announces only an address, without a router, a name server and a time server.
    pub is_closed: bool,
    /// The address of a boot file, which DHCP announces.
    pub boot_file: Option<String>,
    /// Responses of the metadata service get this time to live, so that they reach only the instance itself.
    pub hop_limit: Option<u8>,
}

/// Answers requests to the address `to`.
pub(super) trait HttpService: Send {
    fn respond(&mut self, to: Ipv4Addr, request: &Request) -> Response;
}

/// The running segment. It ends when this is dropped.
pub(super) struct Lan {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Lan {
    /// `socket` is connected to QEMU. Connections to the listeners, on the host's loopback interface, are passed to
    /// these ports of the guest.
    pub(super) fn start(
        socket: UnixStream,
        options: LanOptions,
        service: Box<dyn HttpService>,
        listeners: Vec<(TcpListener, u16)>,
    ) -> Result<Lan, Failure> {
        let context = || "could not start the network of the guest".to_owned();
        socket.set_read_timeout(Some(TICK)).context(context)?;
        for (listener, _) in &listeners {
            listener.set_nonblocking(true).context(context)?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread =
            std::thread::spawn(move || Segment::new(socket, options, service, listeners).run(&stopped));
        Ok(Lan { stop, thread: Some(thread) })
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The socket to QEMU, as a network card.
struct Card {
    socket: UnixStream,
    unread: Vec<u8>,
    frames: VecDeque<Vec<u8>>,
    mtu: usize,
}

impl Card {
    /// Waits for frames for at most [`TICK`]. Returns whether QEMU is still there.
    fn wait(&mut self) -> bool {
        let mut buffer = [0; LARGEST_FRAME];
        match self.socket.read(&mut buffer) {
            Ok(0) => return false,
            Ok(count) => self.unread.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
        while let Some((length, rest)) = self.unread.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            if length > LARGEST_FRAME {
                return false;
            }
            let Some(frame) = rest.get(..length) else { break };
            self.frames.push_back(frame.to_vec());
            self.unread.drain(..4 + length);
        }
        true
    }
}

struct Incoming(Vec<u8>);
struct Outgoing<'c>(&'c mut UnixStream);

impl RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = vec![0; 4 + length];
        frame[..4].copy_from_slice(&(length as u32).to_be_bytes());
        let result = f(&mut frame[4..]);
        // If QEMU has exited, the next read detects it.
        let _ = self.0.write_all(&frame);
        result
    }
}

impl Device for Card {
    type RxToken<'c> = Incoming;
    type TxToken<'c> = Outgoing<'c>;

    fn receive(&mut self, _: Instant) -> Option<(Incoming, Outgoing<'_>)> {
        let frame = self.frames.pop_front()?;
        Some((Incoming(frame), Outgoing(&mut self.socket)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Outgoing<'_>> {
        Some(Outgoing(&mut self.socket))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        // With the header of Ethernet.
        capabilities.max_transmission_unit = self.mtu + 14;
        capabilities
    }
}

/// A connection of the HTTP server.
#[derive(Default)]
struct Served {
    received: Vec<u8>,
    response: Option<OutgoingResponse>,
}

/// A connection from the host to the guest.
struct Forwarded {
    handle: SocketHandle,
    stream: TcpStream,
    /// Bytes for the guest, and for the client.
    to_guest: Vec<u8>,
    to_client: Vec<u8>,
    client_closed: bool,
}

struct Segment {
    card: Card,
    interface: Interface,
    sockets: SocketSet<'static>,
    options: LanOptions,
    service: Box<dyn HttpService>,
    http: Vec<(SocketHandle, Served)>,
    dhcp: SocketHandle,
    names: SocketHandle,
    time: SocketHandle,
    listeners: Vec<(TcpListener, u16)>,
    forwarded: Vec<Forwarded>,
    next_port: u16,
    started: std::time::Instant,
}

fn udp_socket(port: u16) -> udp::Socket<'static> {
    let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 8], vec![0; 16 << 10]);
    let mut socket = udp::Socket::new(buffer(), buffer());
    socket.bind(port).expect("the port is not zero and the socket is closed");
    socket
}

/// `window`: bytes that may be on their way to the guest.
fn tcp_socket(window: usize) -> tcp::Socket<'static> {
    let buffer = |size| tcp::SocketBuffer::new(vec![0; size]);
    tcp::Socket::new(buffer(64 << 10), buffer(window))
}

impl Segment {
    fn new(
        socket: UnixStream,
        options: LanOptions,
        service: Box<dyn HttpService>,
        listeners: Vec<(TcpListener, u16)>,
    ) -> Segment {
        let mtu = usize::from(options.mtu.unwrap_or(1500));
        let mut card = Card { socket, unread: Vec::new(), frames: VecDeque::new(), mtu };
        let mut config = Config::new(HardwareAddress::Ethernet(OWN_MAC));
        config.random_seed = 1;
        let mut interface = Interface::new(config, &mut card, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            let own = [(GATEWAY, PREFIX), (NAME_SERVER, PREFIX)];
            let more = options.addresses.iter().map(|address| (*address, 32));
            for (address, prefix) in own.into_iter().chain(more) {
                // The capacity is a feature of the crate.
                let _ = addresses.push(IpCidr::new(address.into(), prefix));
            }
        });
        let mut sockets = SocketSet::new(Vec::new());
        let http = (0..MOST_CONNECTIONS)
            .map(|_| (sockets.add(tcp_socket(HTTP_WINDOW)), Served::default()))
            .collect();
        Segment {
            dhcp: sockets.add(udp_socket(67)),
            names: sockets.add(udp_socket(53)),
            time: sockets.add(udp_socket(123)),
            card,
            interface,
            sockets,
            options,
            service,
            http,
            listeners,
            forwarded: Vec::new(),
            next_port: 49_152,
            started: std::time::Instant::now(),
        }
    }

    fn run(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) && self.card.wait() {
            self.poll();
            self.serve_datagrams();
            self.serve_http();
            self.forward();
            self.poll();
        }
    }

    fn poll(&mut self) {
        let now = Instant::from_millis(self.started.elapsed().as_millis() as i64);
        self.interface.poll(now, &mut self.card, &mut self.sockets);
    }

    fn serve_datagrams(&mut self) {
        let socket = self.sockets.get_mut::<udp::Socket>(self.dhcp);
        while let Ok((data, _)) = socket.recv() {
            if let Some(reply) = servers::dhcp(data, &self.options) {
                let client = IpEndpoint::new(IpAddress::v4(255, 255, 255, 255), 68);
                let meta = udp::UdpMetadata { local_address: Some(GATEWAY.into()), ..client.into() };
                let _ = socket.send_slice(&reply, meta);
            }
        }
        let socket = self.sockets.get_mut::<udp::Socket>(self.names);
        while let Ok((data, from)) = socket.recv() {
            if let Some(reply) = servers::dns(data, &self.options.names) {
                let _ = socket.send_slice(&reply, from);
            }
        }
        let socket = self.sockets.get_mut::<udp::Socket>(self.time);
        while let Ok((data, from)) = socket.recv() {
            if let Some(reply) = servers::ntp(data, std::time::SystemTime::now()) {
                let _ = socket.send_slice(&reply, from);
            }
        }
    }

    fn serve_http(&mut self) {
        for (handle, served) in &mut self.http {
            let socket = self.sockets.get_mut::<tcp::Socket>(*handle);
            if !socket.is_open() {
                *served = Served::default();
                socket.set_hop_limit(None);
                // Idle connections must not block the service.
                socket.set_timeout(Some(IDLE));
                socket.set_keep_alive(Some(IDLE));
                let _ = socket.listen(80);
                continue;
            }
            while socket.can_recv() && served.response.is_none() {
                let received = &mut served.received;
                let _ = socket.recv(|data| {
                    received.extend_from_slice(data);
                    (data.len(), ())
                });
            }
            if served.response.is_none()
                && let Some(request) = Request::parse(&served.received)
                && let Some(local) = socket.local_endpoint()
            {
                let IpAddress::Ipv4(to) = local.addr;
                let response = match request {
                    Ok(request) => self.service.respond(to, &request),
                    Err(status) => Response::status(status),
                };
                served.response = Some(response.outgoing());
                if self.options.addresses.contains(&to) {
                    socket.set_hop_limit(self.options.hop_limit);
                }
            }
            if let Some(response) = &mut served.response {
                while socket.can_send() && !response.is_sent() {
                    let filled = socket.send(|buffer| {
                        let count = response.next(buffer);
                        (count.unwrap_or(0), count.is_some())
                    });
                    if filled != Ok(true) {
                        socket.abort();
                        break;
                    }
                }
            }
            let is_sent = served.response.as_ref().is_some_and(OutgoingResponse::is_sent);
            // Each response ends its connection. A peer that gives up early is closed, too.
            if is_sent || !socket.may_recv() && socket.may_send() {
                socket.close();
            }
        }
    }

    fn forward(&mut self) {
        for (listener, port) in &self.listeners {
            let Ok((stream, _)) = listener.accept() else { continue };
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            let handle = self.sockets.add(tcp_socket(SSH_WINDOW));
            let socket = self.sockets.get_mut::<tcp::Socket>(handle);
            self.next_port = self.next_port.checked_add(1).unwrap_or(49_152);
            let from = IpEndpoint::new(GATEWAY.into(), self.next_port);
            let to = IpEndpoint::new(GUEST.into(), *port);
            if socket.connect(self.interface.context(), to, from).is_ok() {
                let (to_guest, to_client) = (Vec::new(), Vec::new());
                self.forwarded.push(Forwarded { handle, stream, to_guest, to_client, client_closed: false });
            } else {
                self.sockets.remove(handle);
            }
        }
        let sockets = &mut self.sockets;
        self.forwarded.retain_mut(|forwarded| {
            let is_alive = forwarded.pump(sockets.get_mut::<tcp::Socket>(forwarded.handle));
            if !is_alive {
                sockets.remove(forwarded.handle);
            }
            is_alive
        });
    }
}

impl Forwarded {
    /// Moves bytes in both directions. Returns whether the connection is still open.
    fn pump(&mut self, socket: &mut tcp::Socket) -> bool {
        let mut buffer = [0; 16 << 10];
        while !self.client_closed && self.to_guest.len() < 256 << 10 {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.client_closed = true,
                Ok(count) => self.to_guest.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.client_closed = true,
            }
        }
        if socket.can_send() && !self.to_guest.is_empty() {
            let sent = socket.send_slice(&self.to_guest).unwrap_or(0);
            self.to_guest.drain(..sent);
        }
        while socket.can_recv() && self.to_client.len() < 256 << 10 {
            let count = socket.recv_slice(&mut buffer).unwrap_or(0);
            self.to_client.extend_from_slice(&buffer[..count]);
        }
        while !self.to_client.is_empty() {
            match self.stream.write(&self.to_client) {
                Ok(count) => drop(self.to_client.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        if self.client_closed && socket.state() == tcp::State::SynSent {
            socket.abort();
            return false;
        }
        if self.client_closed && self.to_guest.is_empty() {
            socket.close();
        }
        let guest_closed = !socket.may_recv() && !matches!(socket.state(), tcp::State::SynSent);
        if guest_closed && self.to_client.is_empty() {
            let _ = self.stream.shutdown(std::net::Shutdown::Both);
            socket.abort();
            return false;
        }
        socket.is_open()
    }
}

#[cfg(test)]
mod tests;
