//! Answers of the DHCP, DNS and NTP servers. Pure.

use super::{GATEWAY, GUEST, LanOptions, NAME_SERVER, PREFIX};
use smoltcp::wire::{DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr};
use std::net::Ipv4Addr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Lease time in seconds.
const LEASE: u32 = 86_400;

/// The reply to a DHCP request. Source: RFC 2131; RFC 2132, 5.1 (MTU), 8.3 (NTP servers) and 9.5 (boot
/// file).
pub(super) fn dhcp(data: &[u8], options: &LanOptions) -> Option<Vec<u8>> {
    let packet = DhcpPacket::new_checked(data).ok()?;
    let request = DhcpRepr::parse(&packet).ok()?;
    let message_type = match request.message_type {
        DhcpMessageType::Discover => DhcpMessageType::Offer,
        DhcpMessageType::Request => DhcpMessageType::Ack,
        _ => return None,
    };
    let mtu = options.mtu.map(u16::to_be_bytes);
    let ntp = GATEWAY.octets();
    let mut additional = Vec::new();
    if let Some(mtu) = &mtu {
        additional.push(DhcpOption { kind: 26, data: mtu });
    }
    if let Some(file) = &options.boot_file {
        additional.push(DhcpOption { kind: 67, data: file.as_bytes() });
    }
    if !options.is_closed {
        additional.push(DhcpOption { kind: 42, data: &ntp });
    }
    let reply = DhcpRepr {
        message_type,
        transaction_id: request.transaction_id,
        secs: 0,
        client_hardware_address: request.client_hardware_address,
        client_ip: Ipv4Addr::UNSPECIFIED,
        your_ip: GUEST,
        server_ip: GATEWAY,
        router: (!options.is_closed).then_some(GATEWAY),
        subnet_mask: Some(Ipv4Addr::from(u32::MAX << (32 - PREFIX))),
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: request.broadcast,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(GATEWAY),
        parameter_request_list: None,
        dns_servers: (!options.is_closed).then(|| [NAME_SERVER].into_iter().collect()),
        max_size: None,
        lease_duration: Some(LEASE),
        renew_duration: None,
        rebind_duration: None,
        additional_options: &additional,
    };
    let mut bytes = vec![0; reply.buffer_len()];
    reply.emit(&mut DhcpPacket::new_unchecked(&mut bytes)).ok()?;
    Some(bytes)
}

/// The reply to a DNS question for an address. Source: RFC 1035, 4.1.
pub(super) fn dns(data: &[u8], names: &[(String, Ipv4Addr)]) -> Option<Vec<u8>> {
    const QUESTION: usize = 12;
    // A query with one question.
    if data.len() < QUESTION || data[2] & 0xf8 != 0 || data[4..6] != [0, 1] {
        return None;
    }
    let mut labels = Vec::new();
    let mut at = QUESTION;
    loop {
        let length = usize::from(*data.get(at)?);
        if length == 0 {
            break;
        }
        if length > 63 {
            return None;
        }
        labels.push(String::from_utf8_lossy(data.get(at + 1..at + 1 + length)?).to_lowercase());
        at += 1 + length;
    }
    let end = at + 5;
    let kind = u16::from_be_bytes([*data.get(at + 1)?, *data.get(at + 2)?]);
    let name = labels.join(".");
    let address = names.iter().find(|(known, _)| *known == name).map(|(_, address)| *address);
    let answer = address.filter(|_| kind == 1);
    let mut reply = data.get(..end)?.to_vec();
    // A response of an authoritative server; recursion is available. NXDOMAIN for unknown names.
    reply[2] = 0x84 | (data[2] & 1);
    reply[3] = if address.is_some() { 0x80 } else { 0x83 };
    reply[6..12].copy_from_slice(&[0, u8::from(answer.is_some()), 0, 0, 0, 0]);
    if let Some(address) = answer {
        // A pointer to the name in the question, type A, class IN, 60 s, 4 bytes.
        reply.extend([0xc0, QUESTION as u8, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}

/// The reply to an NTP client. Source: RFC 5905, 7.3.
pub(super) fn ntp(data: &[u8], now: SystemTime) -> Option<Vec<u8>> {
    /// Seconds between 1900 and 1970.
    const ERA: u64 = 2_208_988_800;
    let version = (data.first()? >> 3) & 7;
    if data.len() < 48 || data[0] & 7 != 3 {
        return None;
    }
    let since = now.duration_since(UNIX_EPOCH).ok()?;
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    let stamp = (((since.as_secs() + ERA) << 32) | fraction).to_be_bytes();
    let mut reply = vec![0; 48];
    // Server mode, stratum 1, with the reference identifier of a local clock.
    reply[0] = (version << 3) | 4;
    (reply[1], reply[2], reply[3]) = (1, data[2], 0xec);
    reply[12..16].copy_from_slice(b"LOCL");
    reply[16..24].copy_from_slice(&stamp);
    reply[24..32].copy_from_slice(&data[40..48]);
    reply[32..40].copy_from_slice(&stamp);
    reply[40..48].copy_from_slice(&stamp);
    Some(reply)
}
