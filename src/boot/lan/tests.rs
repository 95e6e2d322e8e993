use super::*;

#[test]
fn requests_are_parsed_when_they_are_complete() {
    let text = b"PUT /latest/api/token?x=1 HTTP/1.1\r\nHost: a\r\nX-Aws: 60\r\nContent-Length: 3\r\n\r\nabc";
    for end in 0..text.len() {
        assert_eq!(Request::parse(&text[..end]), None);
    }
    let request = Request::parse(text).unwrap().unwrap();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("PUT", "/latest/api/token"));
    assert_eq!(
        (request.query.as_str(), request.header("x-aws"), &request.body[..]),
        ("x=1", Some("60"), &b"abc"[..])
    );
    let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n";
    assert_eq!(Request::parse(chunked).unwrap().unwrap().body, b"abcde");
    let endless = [&b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"[..], &[b'x'; 3 << 20]].concat();
    assert_eq!(Request::parse(&endless), Some(Err(413)));
    assert_eq!(
        Request::parse(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        Some(Err(400))
    );
    assert_eq!(Request::parse(b"nonsense\r\n\r\n"), Some(Err(400)));
}

#[test]
fn known_names_resolve() {
    let names = [("metadata.google.internal".to_owned(), Ipv4Addr::new(169, 254, 169, 254))];
    let question = |name: &str, kind: u8| {
        let mut data = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            data.push(label.len() as u8);
            data.extend(label.bytes());
        }
        data.extend([0, 0, kind, 0, 1]);
        data
    };
    let reply = servers::dns(&question("Metadata.google.internal", 1), &names).unwrap();
    assert_eq!((&reply[..2], reply[3] & 0xf, reply[7]), (&[0x12, 0x34][..], 0, 1));
    assert!(reply.ends_with(&[0, 4, 169, 254, 169, 254]));
    // The name exists, but has no IPv6 address.
    let reply = servers::dns(&question("metadata.google.internal", 28), &names).unwrap();
    assert_eq!((reply[3] & 0xf, reply[7]), (0, 0));
    let reply = servers::dns(&question("example.org", 1), &names).unwrap();
    assert_eq!((reply[3] & 0xf, reply[7]), (3, 0));
    assert_eq!(servers::dns(&[0; 11], &names), None);
    assert_eq!(servers::dns(&question("example.org", 1)[..14], &names), None);
}

#[test]
fn time_is_answered() {
    let mut request = vec![0; 48];
    request[0] = 0x23;
    request[40] = 7;
    let now = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let reply = servers::ntp(&request, now).unwrap();
    assert_eq!((reply[0], reply[24]), (0x24, 7));
    assert_eq!(
        u32::from_be_bytes(reply[40..44].try_into().unwrap()),
        (1_000_000_000u64 + 2_208_988_800) as u32
    );
    assert_eq!(servers::ntp(&request[..40], now), None);
}
