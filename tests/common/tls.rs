//! Serves a directory over https on loopback, with a certificate issued by a test authority.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub struct TlsServer {
    /// `https://localhost:PORT`.
    pub url: String,
    /// Certificate of the authority, for `SSL_CERT_FILE`.
    pub authority: PathBuf,
    server: Child,
    _keys: tempfile::TempDir,
}

impl TlsServer {
    pub fn start(directory: &Path) -> TlsServer {
        let keys = tempfile::tempdir().unwrap();
        let script = "
            new='openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
            $new -x509 -days 2 -subj /CN=authority -keyout ca.key -out ca.pem
            $new -subj /CN=localhost -keyout key.pem -out request.pem
            printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' >extensions
            openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out cert.pem";
        let made =
            Command::new("sh").args(["-ec", script]).current_dir(keys.path()).stderr(Stdio::null()).status();
        assert!(made.unwrap().success());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let script = format!(
            "import http.server, ssl, sys
server = http.server.ThreadingHTTPServer(('127.0.0.1', {port}), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1] + '/cert.pem', sys.argv[1] + '/key.pem')
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()"
        );
        let server = Command::new("python3")
            .args(["-c", &script])
            .arg(keys.path())
            .current_dir(directory)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() && Instant::now() < until {
            sleep(Duration::from_millis(50));
        }
        let authority = keys.path().join("ca.pem");
        TlsServer { url: format!("https://localhost:{port}"), authority, server, _keys: keys }
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
