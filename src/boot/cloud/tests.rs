use super::super::lan::Body;
use super::super::session::Answer;
use super::super::verdict::Class;
use super::*;

fn instance(fault: Option<CloudFault>) -> Instance {
    Instance {
        id: "0123456789abcdef0123456789abcdef".to_owned(),
        host: "node-7".to_owned(),
        key: "ssh-ed25519 AAAA key".to_owned(),
        fault,
    }
}

fn ask(
    cloud: Cloud,
    fault: Option<CloudFault>,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> (u16, String) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: Vec::new(),
    };
    let response = cloud.respond(&instance(fault), METADATA, &request);
    let Body::Bytes(body) = response.body else { panic!("metadata is not a file") };
    (response.status, String::from_utf8(body).unwrap())
}

#[test]
fn ec2_wants_a_token() {
    let token =
        ask(Cloud::Ec2, None, "PUT", "/latest/api/token", &[("x-aws-ec2-metadata-token-ttl-seconds", "60")]);
    assert_eq!(token.0, 200);
    let with: &[(&str, &str)] = &[("x-aws-ec2-metadata-token", &token.1)];
    assert_eq!(ask(Cloud::Ec2, None, "GET", "/latest/meta-data/", &[]).0, 401);
    assert_eq!(ask(Cloud::Ec2, None, "PUT", "/latest/api/token", &[]).0, 400);
    let get = |path: &str| ask(Cloud::Ec2, None, "GET", path, with);
    assert_eq!(get("/2021-03-23/meta-data/instance-id"), (200, "i-0123456789abcdef0".to_owned()));
    assert_eq!(get("/latest/meta-data/public-keys/"), (200, "0=ister".to_owned()));
    assert_eq!(get("/latest/meta-data/public-keys/0/openssh-key"), (200, "ssh-ed25519 AAAA key".to_owned()));
    assert!(get("/latest/user-data").1.contains("/phone-home/0123456789abcdef0123456789abcdef"));
    assert_eq!(get("/1999-01-01/meta-data/").0, 404);
    assert_eq!(
        ask(
            Cloud::Ec2,
            Some(CloudFault::MissingKey),
            "GET",
            "/latest/meta-data/public-keys/0/openssh-key",
            with
        )
        .0,
        404
    );
}

/// cloud-init loses all metadata if an entry that is listed cannot be read.
#[test]
fn every_listed_entry_of_ec2_can_be_read() {
    let with: &[(&str, &str)] = &[("x-aws-ec2-metadata-token", "AQAEAF-ister")];
    let mut todo = vec!["/latest/meta-data/".to_owned(), "/latest/dynamic/".to_owned()];
    let mut count = 0;
    while let Some(path) = todo.pop() {
        let (status, text) = ask(Cloud::Ec2, None, "GET", &path, with);
        assert_eq!(status, 200, "{path}");
        count += 1;
        if !path.ends_with('/') {
            continue;
        }
        for entry in text.lines() {
            match entry.split_once('=') {
                Some((index, _)) => todo.push(format!("{path}{index}/")),
                None => todo.push(format!("{path}{entry}")),
            }
        }
    }
    assert!(count > 30, "{count}");
}

#[test]
fn google_wants_its_header() {
    let with: &[(&str, &str)] = &[("metadata-flavor", "Google")];
    let path = "/computeMetadata/v1/instance/attributes/?recursive=True";
    assert_eq!(ask(Cloud::Gce, None, "GET", path, &[]).0, 403);
    let (status, text) = ask(Cloud::Gce, None, "GET", path, with);
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, found["ssh-keys"].as_str()), (200, Some("debian:ssh-ed25519 AAAA key")));
    let (_, id) = ask(Cloud::Gce, None, "GET", "/computeMetadata/v1/instance/id", with);
    assert!(id.len() == 19 && id.bytes().all(|byte| byte.is_ascii_digit()), "{id}");
    let put = "/computeMetadata/v1/instance/guest-attributes/hostkeys/ssh-ed25519";
    assert_eq!(ask(Cloud::Gce, None, "PUT", put, with).0, 200);
}

#[test]
fn openstack_and_azure_answer() {
    let (_, text) = ask(Cloud::Openstack, None, "GET", "/openstack/latest/meta_data.json", &[]);
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(found["hostname"], "node-7");
    assert_eq!(ask(Cloud::Openstack, None, "GET", "/latest/meta-data/instance-id", &[]).0, 200);
    assert_eq!(ask(Cloud::Azure, None, "GET", "/metadata/instance?api-version=2021-08-01", &[]).0, 400);
    let (status, text) = ask(Cloud::Azure, None, "GET", "/metadata/instance?x=1", &[("metadata", "true")]);
    assert_eq!(status, 200);
    assert!(text.contains("ssh-ed25519 AAAA key"), "{text}");
    let medium = Cloud::Azure.medium(&instance(None)).unwrap();
    assert!(medium.is_cd && medium.files[0].1.contains("<HostName>node-7</HostName>"));
}

#[test]
fn reports_are_decoded() {
    let body = b"pub_key_ed25519=ssh-ed25519+AAAA%2Bb%3D%3D+root%40node-7%0A&instance_id=i-0&hostname=node-7";
    let home = phone_home(body);
    assert_eq!((home.host.as_str(), home.key.as_str()), ("node-7", "ssh-ed25519 AAAA+b== root@node-7"));
    assert_eq!(decoded("100%"), "100%");
}

#[test]
fn problems_have_their_class() {
    let request = |method: &str, path: &str| CloudRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        status: 200,
        count: 1,
    };
    let mut log = CloudLog::default();
    assert_eq!(judge_without_login(Cloud::Gce, &log, Vec::new()).0, Class::MetadataUnused);
    assert_eq!(judge_without_login(Cloud::Nocloud, &log, Vec::new()).0, Class::UserDataUnused);
    log.requests = vec![request("GET", "/v1/instance/id"), request("GET", "/v1/instance/attributes/")];
    assert_eq!(judge_without_login(Cloud::Gce, &log, Vec::new()).0, Class::UserDataUnused);
    log.phone_home = Some(PhoneHome::default());
    assert_eq!(judge_without_login(Cloud::Gce, &log, vec!["denied".to_owned()]).0, Class::NoSshKey);
    let answer =
        |status: i32, line: &str| Answer { command: String::new(), status, lines: vec![line.to_owned()] };
    let good = r#"{"v1": {"datasource": "DataSourceGCELocal", "errors": []}}"#;
    let judged =
        |answers: [Answer; 5]| judge(Cloud::Gce, &instance(None), &log, &answers).map(|(class, _)| class);
    let fine =
        || [answer(0, good), answer(0, "node-7"), answer(0, ""), answer(0, "10.0.2.2"), answer(0, "1460")];
    assert_eq!(judged(fine()), None);
    let with = |index: usize, other: Answer| {
        let mut answers = fine();
        answers[index] = other;
        judged(answers)
    };
    assert_eq!(
        with(0, answer(0, r#"{"v1": {"datasource": "DataSourceNone"}}"#)),
        Some(Class::MetadataUnused)
    );
    assert_eq!(
        with(0, answer(0, r#"{"v1": {"datasource": "DataSourceGCE", "errors": ["x"]}}"#)),
        Some(Class::Degraded)
    );
    assert_eq!(with(1, answer(0, "localhost")), Some(Class::WrongHost));
    assert_eq!(with(2, answer(1, "sudo: a password is required")), Some(Class::NoSudo));
    assert_eq!(with(3, answer(2, "")), Some(Class::NoDns));
    assert_eq!(with(4, answer(0, "1500")), Some(Class::WrongNetwork));
}
