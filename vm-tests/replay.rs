//! Replays recorded consoles in QEMU. Each transcript of `consoles/` becomes a disk whose boot sector prints it on the
//! serial port, waits for input, resets and powers off. The unit tests of the boot monitor use the same files.

use super::{Outcome, World, expect, run};
use ister::boot::transcript::{Transcript, TranscriptStep, parse};
use libtest_mimic::Failed;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// One transcript of each kind.
const SOME: [&str; 8] = [
    "agetty",
    "kernel-in-the-middle",
    "bootsector-prints-login",
    "panic-250ms",
    "reset-behind-prompt",
    "power-off-behind-prompt",
    "grub-menu-waits",
    "mbr-missing-os",
];
/// Names of transcripts: only these are replayed.
const CHOICE: &str = "ISTER_TEST_CONSOLES";

pub fn some(world: &World) -> Outcome {
    play_all(world, &|name| SOME.contains(&name))
}

pub fn every_one(world: &World) -> Outcome {
    let choice = std::env::var(CHOICE).unwrap_or_default();
    play_all(world, &|name| choice.is_empty() || choice.split(',').any(|chosen| chosen == name))
}

/// Two transcripts run in parallel, because most of the time is spent waiting.
fn play_all(world: &World, is_chosen: &dyn Fn(&str) -> bool) -> Outcome {
    let directory = world.path("consoles");
    std::fs::create_dir_all(&directory).map_err(|e| e.to_string())?;
    let player = player(&directory)?;
    let mut transcripts = transcripts()?;
    transcripts.retain(|transcript| is_chosen(&transcript.name));
    expect(!transcripts.is_empty(), "there are no matching transcripts")?;
    let (count, todo) = (transcripts.len(), Mutex::new(transcripts.into_iter()));
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(transcript) = todo.lock().expect("no thread panics").next() else { return };
                    if let Err(why) = play(&directory, &player, &transcript) {
                        let why = why.message().unwrap_or("failed").to_owned();
                        wrong.lock().expect("no thread panics").push(format!("{}: {why}", transcript.name));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no thread panics");
    expect(
        wrong.is_empty(),
        &format!("{} of {count} transcripts got the wrong class:\n{}", wrong.len(), wrong.join("\n\n")),
    )
}

fn transcripts() -> Result<Vec<Transcript>, Failed> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("vm-tests/consoles");
    let preludes = directory.join("preludes.toml");
    let texts = toml::from_str(&read(&preludes)?).map_err(|e| e.to_string())?;
    let mut all = Vec::new();
    for entry in std::fs::read_dir(&directory).map_err(|e| e.to_string())? {
        let path = entry.map_err(|e| e.to_string())?.path();
        if path.extension().is_some_and(|extension| extension == "toml") && path != preludes {
            all.extend(parse(&read(&path)?, &texts).map_err(|why| format!("{}: {why}", path.display()))?);
        }
    }
    Ok(all)
}

/// Assembles the boot sector.
fn player(directory: &Path) -> Result<Vec<u8>, Failed> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/vm-tests/consoles/player.s");
    let (object, binary) = (directory.join("player.o"), directory.join("player.bin"));
    let (object, output) = (object.to_str().unwrap(), binary.to_str().unwrap());
    run("as", &["--32", "-o", object, source])?;
    run("ld", &["-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-o", output, object])?;
    std::fs::read(&binary).map_err(|e| e.to_string().into())
}

/// The script that the boot sector reads.
fn script(steps: &[TranscriptStep]) -> Vec<u8> {
    let mut orders = Vec::new();
    let mut starts = vec![0];
    for step in steps {
        match step {
            TranscriptStep::Text(text) => {
                orders.push(1);
                orders.extend((text.len() as u16).to_le_bytes());
                orders.extend(text.as_bytes());
            }
            TranscriptStep::Sleep(time) => {
                orders.push(2);
                orders.extend(((time.as_secs_f64() * 18.2).round() as u16).to_le_bytes());
            }
            TranscriptStep::Enter => orders.push(3),
            TranscriptStep::Reset => {
                orders.push(4);
                starts.push(orders.len());
            }
            TranscriptStep::PowerOff => orders.push(5),
        }
    }
    orders.push(0);
    let table = 2 * starts.len();
    starts.iter().flat_map(|start| ((table + start) as u16).to_le_bytes()).chain(orders).collect()
}

fn play(directory: &Path, player: &[u8], transcript: &Transcript) -> Outcome {
    let disk: PathBuf = directory.join(format!("{}.img", transcript.name));
    let mut bytes = player.to_vec();
    bytes.extend(script(&transcript.steps));
    bytes.resize(1 << 20, 0);
    std::fs::write(&disk, bytes).map_err(|e| e.to_string())?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_ister"));
    command.arg("boot").arg(&disk).args(["--firmware", "bios", "--format", "json"]);
    // Without pauses after the prompt there is nothing to wait for.
    if transcript.pauses() == Duration::ZERO {
        command.args(["--dwell", "1"]);
    }
    let started = Instant::now();
    let output = command.output().map_err(|e| e.to_string())?;
    let took = started.elapsed();
    std::fs::remove_file(&disk).map_err(|e| e.to_string())?;
    let verdict: Value = serde_json::from_slice(&output.stdout)
        .map_err(|e| format!("{e}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let class = verdict["class"].as_str().unwrap_or_default();
    let stage = transcript.stage.map(|stage| stage.to_string());
    expect(
        transcript.want.iter().any(|want| want == class)
            && stage.is_none_or(|stage| verdict["stage"] == stage.as_str()),
        &format!("expected {}: {verdict:#}, after {} s", transcript.want.join(" or "), took.as_secs()),
    )?;
    let reached = matches!(class, "login-prompt" | "auto-login");
    expect(reached == output.status.success(), &format!("exit code {:?} of {class}", output.status.code()))
}
