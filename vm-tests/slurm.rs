//! A run on a real Slurm cluster with two nodes on the loopback interface. One node dies during the run, and no result
//! may be lost or repeated.

use super::{Outcome, World, expect, ister, run};
use libtest_mimic::Failed;
use serde_json::Value;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NODES: [&str; 2] = ["n1", "n2"];
const TYPES: usize = 6;

pub fn a_node_dies(world: &World) -> Outcome {
    if !rustix::process::geteuid().is_root() {
        return super::skip("only root can create the namespaces of the cluster nodes");
    }
    let directory = world.path("slurm");
    let _ = std::fs::remove_dir_all(&directory);
    let types = directory.join("types");
    for index in 0..TYPES {
        let kind = types.join(format!("type-{index}"));
        std::fs::create_dir_all(&kind).map_err(|e| e.to_string())?;
        let template =
            std::fs::read_to_string("vm-tests/container/template.json").map_err(|e| e.to_string())?;
        std::fs::write(kind.join("template.json"), template).map_err(|e| e.to_string())?;
        std::fs::write(kind.join("type.json"), r#"{ "formats": ["tar.xz"], "boots": [] }"#)
            .map_err(|e| e.to_string())?;
    }
    // Downloads the content first, so that the nodes only have to pack it.
    ister(
        &["build", types.join("type-0/template.json").to_str().unwrap(), "-q"],
        &[("-o", &directory.join("warm"))],
        0,
    )?;

    let cluster = Cluster::start(&directory)?;
    let out = directory.join("out");
    let args = format!("--directory {} --jobs 1", types.display());
    let environment = [
        ("ISTER", env!("CARGO_BIN_EXE_ister")),
        ("ISTER_RUN", "nightly"),
        ("ISTER_OUT", out.to_str().unwrap()),
        ("ISTER_ARGS", &args),
    ];
    let log = format!("{}/task-%a.log", directory.display());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/slurm.sh");
    let submit = [
        "--parsable",
        "--array=1-2",
        "--export=ALL",
        "--chdir",
        env!("CARGO_MANIFEST_DIR"),
        "-o",
        &log,
        script,
    ];
    let id = cluster.ask("sbatch", &submit, &environment)?.trim().to_owned();

    // One node has finished a type and works on the next.
    let results = |part: usize| read(&out.join(format!("part-{part}/results.json")));
    let done = |part: usize| results(part).map_or(0, |r| r["types"].as_array().map_or(0, Vec::len));
    wait_for(Duration::from_secs(240), || (1..=2).any(|part| (1..3).contains(&done(part))))?;
    let part = (1..=2).find(|part| (1..3).contains(&done(*part))).ok_or("both nodes finished too fast")?;
    let node =
        cluster.ask("squeue", &["-h", "-j", &format!("{id}_{part}"), "-o", "%N"], &[])?.trim().to_owned();
    let before = results(part).ok_or("no results")?;
    cluster.kill(&node)?;

    wait_for(Duration::from_secs(400), || {
        cluster.ask("squeue", &["-h", "-j", &id], &[]).is_ok_and(|said| said.trim().is_empty())
    })?;
    let told = cluster.ask("scontrol", &["show", "job", &format!("{id}_{part}"), "-o"], &[])?;
    expect(told.contains("Restarts=1") && told.contains("JobState=COMPLETED"), &told)?;
    let after = results(part).ok_or("no results")?;
    for record in before["types"].as_array().into_iter().flatten() {
        let kept = after["types"].as_array().is_some_and(|all| all.contains(record));
        expect(kept, "a type that was tested before the node died was tested again")?;
    }
    drop(cluster);

    let merged = ister(
        &["report", out.to_str().unwrap(), "--format", "json"],
        &[("--history", &directory.join("h.sqlite"))],
        0,
    )?;
    let names: Vec<&str> = merged["results"]["types"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|r| r["type"].as_str())
        .collect();
    let expected: Vec<String> = (0..TYPES).map(|index| format!("type-{index}")).collect();
    expect(names == expected, &format!("every type must be tested once: {names:?}"))?;
    expect(
        merged["missing"] == serde_json::json!([]) && merged["repeated"] == serde_json::json!([]),
        "types are missing or repeated",
    )?;
    std::fs::remove_dir_all(&directory).map_err(|e| e.to_string().into())
}

fn read(path: &Path) -> Option<Value> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

fn wait_for(patience: Duration, mut there: impl FnMut() -> bool) -> Outcome {
    let until = Instant::now() + patience;
    while Instant::now() < until {
        if there() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(format!("the condition was not met within {} s", patience.as_secs()).into())
}

/// Daemons that are killed when this is dropped.
struct Cluster {
    directory: PathBuf,
    configuration: PathBuf,
    daemons: Vec<Child>,
    nodes: Vec<(&'static str, u32)>,
}

impl Cluster {
    fn start(parent: &Path) -> Result<Cluster, Failed> {
        let directory = parent.join("cluster");
        for name in ["munge", "state", "log", "run", "spool-n1", "spool-n2"] {
            std::fs::create_dir_all(directory.join(name)).map_err(|e| e.to_string())?;
        }
        let private = |path: &Path, mode| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).map_err(|e| e.to_string())
        };
        private(&directory.join("munge"), 0o700)?;
        let key = directory.join("munge/key");
        run(
            "dd",
            &["if=/dev/urandom", &format!("of={}", key.display()), "bs=128", "count=1", "status=none"],
        )?;
        private(&key, 0o600)?;
        // These ports are free now, and remain so for a moment after the listeners are closed.
        let listeners: Vec<TcpListener> = (0..3)
            .map(|_| TcpListener::bind("127.0.0.1:0"))
            .collect::<Result<_, _>>()
            .map_err(|e| e.to_string())?;
        let ports: Vec<u16> = listeners.iter().map(|l| l.local_addr().map_or(0, |a| a.port())).collect();
        drop(listeners);
        let configuration = directory.join("slurm.conf");
        std::fs::write(&configuration, settings(&directory, &ports)).map_err(|e| e.to_string())?;
        std::fs::write(directory.join("cgroup.conf"), "CgroupAutomount=no\n").map_err(|e| e.to_string())?;
        let mut cluster = Cluster { directory, configuration, daemons: Vec::new(), nodes: Vec::new() };
        let at = |name: &str| cluster.directory.join(name).display().to_string();
        let munge = [
            "--foreground".to_owned(),
            "--force".to_owned(),
            "--origin=127.0.0.1".to_owned(),
            "--num-threads=2".to_owned(),
            format!("--socket={}", at("run/munge.sock")),
            format!("--key-file={}", at("munge/key")),
            format!("--log-file={}", at("munge/log")),
            format!("--pid-file={}", at("run/munged.pid")),
            format!("--seed-file={}", at("munge/seed")),
        ];
        let socket = cluster.directory.join("run/munge.sock");
        cluster.daemon("munged", &munge)?;
        wait_for(Duration::from_secs(20), || socket.exists())?;
        let configuration = cluster.configuration.display().to_string();
        cluster.daemon("slurmctld", &["-D".to_owned(), "-f".to_owned(), configuration.clone()])?;
        for node in NODES {
            // A node is a PID namespace, which dies immediately with all its processes.
            let script = "slurmd -D -N \"$1\" -f \"$2\" & wait $!";
            let args = [
                "--fork",
                "--pid",
                "--mount-proc",
                "--kill-child=KILL",
                "bash",
                "-c",
                script,
                "node",
                node,
                &configuration,
            ];
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            let id = cluster.daemon("unshare", &args)?;
            cluster.nodes.push((node, id));
        }
        wait_for(Duration::from_secs(60), || {
            cluster
                .ask("sinfo", &["-h", "-N", "-o", "%T"], &[])
                .is_ok_and(|said| said.lines().filter(|line| *line == "idle").count() == 2)
        })?;
        Ok(cluster)
    }

    /// Runs a daemon on a host named localhost, so that it does not listen on other interfaces.
    fn daemon(&mut self, program: &str, args: &[String]) -> Result<u32, Failed> {
        let log =
            std::fs::File::create(self.directory.join(format!("log/{program}-{}.out", self.daemons.len())))
                .map_err(|e| e.to_string())?;
        let child = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                "unshare",
                "--uts",
                "sh",
                "-c",
                "hostname localhost; exec \"$@\"",
                "sh",
                program,
            ])
            .args(args)
            .env("SLURM_CONF", &self.configuration)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(|e| e.to_string())?)
            .stderr(log)
            .spawn()
            .map_err(|e| format!("{program}: {e}"))?;
        let id = child.id();
        self.daemons.push(child);
        Ok(id)
    }

    fn ask(&self, program: &str, args: &[&str], environment: &[(&str, &str)]) -> Result<String, Failed> {
        let output = Command::new("unshare")
            .args(["--uts", "sh", "-c", "hostname localhost; exec \"$@\"", "sh", program])
            .args(args)
            .env("SLURM_CONF", &self.configuration)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            Ok(said)
        } else {
            Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr)).into())
        }
    }

    fn kill(&self, node: &str) -> Outcome {
        let (_, id) =
            self.nodes.iter().find(|(name, _)| *name == node).ok_or_else(|| format!("no node `{node}`"))?;
        run("kill", &["-9", &id.to_string()]).map(|_| ())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.ask("scancel", &["-u", "root"], &[]);
        let _ = self.ask("scontrol", &["shutdown"], &[]);
        // The nodes are killed first, since all processes in their namespaces end with them.
        for daemon in self.daemons.iter_mut().rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// A node that does not respond for a few seconds is down, and its job is requeued with the shortest possible delay.
fn settings(directory: &Path, ports: &[u16]) -> String {
    let at = directory.display();
    let nodes: String = NODES
        .iter()
        .zip(&ports[1..])
        .map(|(node, port)| {
            format!(
                "NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs=1 \
            RealMemory=2000 State=UNKNOWN\n"
            )
        })
        .collect();
    format!(
        "ClusterName=lab\nSlurmctldHost=localhost(127.0.0.1)\nSlurmctldPort={}\n\
         CommunicationParameters=NoCtldInAddrAny,NoInAddrAny\nSlurmUser=root\nSlurmdUser=root\nAuthType=auth/munge\n\
         CredType=cred/munge\nAuthInfo=socket={at}/run/munge.sock,cred_expire=5\nStateSaveLocation={at}/state\n\
         SlurmdSpoolDir={at}/spool-%n\nSlurmctldPidFile={at}/run/slurmctld.pid\nSlurmdPidFile={at}/run/slurmd-%n.pid\n\
         SlurmctldLogFile={at}/log/slurmctld.log\nSlurmdLogFile={at}/log/slurmd-%n.log\nProctrackType=proctrack/linuxproc\n\
         TaskPlugin=task/none\nJobAcctGatherType=jobacct_gather/none\nAccountingStorageType=accounting_storage/none\n\
         JobCompType=jobcomp/none\nMpiDefault=none\nSwitchType=switch/none\nSelectType=select/cons_tres\n\
         SelectTypeParameters=CR_CPU\nSchedulerType=sched/backfill\nSchedulerParameters=sched_interval=1,bf_interval=1\n\
         SlurmdParameters=config_overrides\nSlurmdTimeout=3\nSlurmctldTimeout=10\nMessageTimeout=2\nTCPTimeout=2\n\
         BatchStartTimeout=10\nKillWait=2\nUnkillableStepTimeout=10\nCompleteWait=0\nInactiveLimit=0\nMinJobAge=300\nWaittime=0\n\
         ReturnToService=2\nJobRequeue=1\n{nodes}PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP\n",
        ports[0]
    )
}
