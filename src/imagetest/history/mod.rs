//! The history of `ister test` runs in an SQLite database, which can also be queried with other tools.
//!
//! Recording a run again replaces it, so merging the same results twice changes nothing.

mod past;

#[cfg(test)]
pub(crate) use past::PastBoots;
pub(crate) use past::{Baseline, Green, Past, PastSize, PastStep, flaky};

use crate::boot::Stage;
use crate::host::Failure;
use crate::imagetest::{Results, StepOutcome};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The version of the tables, stored in `PRAGMA user_version`.
const VERSION: i64 = 2;
/// The number of runs used for trends and estimates.
const RUNS: u32 = 60;
const MEASURED_RUNS: u32 = 5;
/// The number of runs with which a result is compared.
const BASELINE_RUNS: u32 = 20;

const TABLES: &str = "
CREATE TABLE runs (
    id TEXT PRIMARY KEY, started TEXT NOT NULL, seconds REAL NOT NULL, revision TEXT, ister TEXT NOT NULL
);
CREATE TABLE steps (
    run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, type TEXT NOT NULL, position INTEGER NOT NULL,
    step TEXT NOT NULL, kind TEXT NOT NULL, outcome TEXT NOT NULL, what TEXT NOT NULL, seconds REAL NOT NULL,
    attempts INTEGER NOT NULL, file TEXT, firmware TEXT, disk TEXT, class TEXT, boot_seconds REAL,
    accelerator TEXT,
    PRIMARY KEY (run, type, step)
);
CREATE TABLE stages (
    run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, type TEXT NOT NULL, step TEXT NOT NULL,
    stage TEXT NOT NULL, at REAL NOT NULL, took REAL NOT NULL, PRIMARY KEY (run, type, step, stage)
);
CREATE TABLE files (
    run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, type TEXT NOT NULL, name TEXT NOT NULL,
    format TEXT NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (run, type, name)
);
CREATE TABLE packages (
    run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, type TEXT NOT NULL, name TEXT NOT NULL,
    version TEXT NOT NULL, PRIMARY KEY (run, type, name)
);
CREATE INDEX runs_by_time ON runs (started);
";
/// Version 1 did not have the accelerator.
const FROM_VERSION_1: &str = "ALTER TABLE steps ADD COLUMN accelerator TEXT";

/// The history database.
pub(crate) struct History {
    path: PathBuf,
    connection: Connection,
}

impl History {
    /// Opens the database, and creates it if it does not exist.
    pub(crate) fn open(path: &Path) -> Result<History, Failure> {
        let fault = |error: rusqlite::Error| {
            Failure::new(format!("could not open the history `{}`", path.display()))
                .detail(error.to_string())
                .help("use an SQLite database created by `ister report --history`, or the name of a new file")
        };
        let mut connection = Connection::open(path).map_err(fault)?;
        // Several shards may report at the same time.
        connection.busy_timeout(Duration::from_secs(30)).map_err(fault)?;
        connection.pragma_update(None, "foreign_keys", true).map_err(fault)?;
        let transaction =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(fault)?;
        let version: i64 =
            transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(fault)?;
        match version {
            0 => {
                transaction.execute_batch(TABLES).map_err(fault)?;
                transaction.pragma_update(None, "user_version", VERSION).map_err(fault)?;
            }
            1 => {
                transaction.execute_batch(FROM_VERSION_1).map_err(fault)?;
                transaction.pragma_update(None, "user_version", VERSION).map_err(fault)?;
            }
            VERSION => {}
            other => {
                return Err(Failure::new(format!(
                    "the history `{}` has version {other}, but this ister supports version {VERSION}",
                    path.display()
                )));
            }
        }
        transaction.commit().map_err(fault)?;
        Ok(History { path: path.to_owned(), connection })
    }

    fn fault(&self, what: &str) -> impl Fn(rusqlite::Error) -> Failure + use<> {
        let message = format!("could not {what} the history `{}`", self.path.display());
        move |error| Failure::new(message.clone()).detail(error.to_string())
    }

    /// Records a run or a part of it. Earlier records of the same run and types are replaced.
    pub(crate) fn record(&mut self, results: &Results) -> Result<(), Failure> {
        let fault = self.fault("write to");
        self.write(results).map_err(fault)
    }

    fn write(&mut self, results: &Results) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        let run = &results.run;
        transaction.execute(
            "INSERT INTO runs (id, started, seconds, revision, ister) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (id) DO UPDATE SET started = min(started, excluded.started), \
             seconds = max(seconds, excluded.seconds), revision = excluded.revision, ister = excluded.ister",
            params![run.id, run.started, run.seconds, run.revision, run.ister],
        )?;
        // Records of other parts of the run are preserved.
        for record in &results.types {
            for table in ["steps", "stages", "files", "packages"] {
                let delete = format!("DELETE FROM {table} WHERE run = ?1 AND type = ?2");
                transaction.execute(&delete, [&run.id, &record.kind])?;
            }
        }
        for record in &results.types {
            for (position, step) in record.steps.iter().enumerate() {
                let boot = step.boot.as_ref();
                transaction.execute(
                    "INSERT INTO steps (run, type, position, step, kind, outcome, what, seconds, attempts, file, \
                     firmware, disk, class, boot_seconds, accelerator) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
                    params![
                        run.id,
                        record.kind,
                        position as i64,
                        step.name,
                        step.kind.name(),
                        step.outcome.name(),
                        step.what,
                        step.seconds,
                        1 + step.earlier.len() as i64,
                        boot.map(|boot| &boot.file),
                        boot.map(|boot| boot.firmware.to_string().to_lowercase()),
                        boot.map(|boot| boot.hardware.disk.name()),
                        boot.map(|boot| boot.class.to_string()),
                        boot.map(|boot| boot.seconds),
                        boot.map(|boot| boot.accelerator.to_string()),
                    ],
                )?;
                for time in boot.into_iter().flat_map(|boot| &boot.stages) {
                    transaction.execute(
                        "INSERT OR REPLACE INTO stages (run, type, step, stage, at, took) VALUES (?1, ?2, ?3, ?4, \
                         ?5, ?6)",
                        params![run.id, record.kind, step.name, time.stage.to_string(), time.at, time.took],
                    )?;
                }
            }
            for file in &record.files {
                transaction.execute(
                    "INSERT INTO files (run, type, name, format, bytes) VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![run.id, record.kind, file.name, file.format, file.bytes as i64],
                )?;
            }
            for (name, version) in &record.packages {
                transaction.execute(
                    "INSERT INTO packages (run, type, name, version) VALUES (?1, ?2, ?3, ?4)",
                    params![run.id, record.kind, name, version],
                )?;
            }
        }
        transaction.commit()
    }

    /// The duration of each type: the median of its last runs. Failed runs are ignored.
    pub(crate) fn seconds(&self) -> Result<BTreeMap<String, f64>, Failure> {
        self.read_seconds().map_err(self.fault("read"))
    }

    fn read_seconds(&self) -> rusqlite::Result<BTreeMap<String, f64>> {
        let mut statement = self.connection.prepare(
            "SELECT type, SUM(steps.seconds) FROM steps JOIN runs ON runs.id = run GROUP BY run, type \
             HAVING SUM(outcome NOT IN ('passed', 'flaky')) = 0 ORDER BY started DESC",
        )?;
        let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for row in statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, f64>(1)?)))? {
            let (kind, seconds) = row?;
            let times = all.entry(kind).or_default();
            if times.len() < MEASURED_RUNS as usize {
                times.push(seconds);
            }
        }
        let middle = |mut times: Vec<f64>| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        };
        Ok(all.into_iter().map(|(kind, times)| (kind, middle(times))).collect())
    }

    /// The values of the last runs in which the type passed, without the run `except`.
    pub(crate) fn baseline(&self, kind: &str, except: &str) -> Result<Baseline, Failure> {
        self.read_baseline(kind, except).map_err(self.fault("read"))
    }

    fn read_baseline(&self, kind: &str, except: &str) -> rusqlite::Result<Baseline> {
        let mut baseline = Baseline::default();
        // Also a run that only failed its limits is no basis: a value that is too large must not become usual.
        let good = "SELECT id FROM runs WHERE id != ?2 AND EXISTS (SELECT 1 FROM steps WHERE run = id AND type = ?1) \
                    AND NOT EXISTS (SELECT 1 FROM steps WHERE run = id AND type = ?1 \
                                    AND outcome NOT IN ('passed', 'flaky')) ORDER BY started DESC LIMIT ?3";
        let all = params![kind, except, BASELINE_RUNS];
        let mut statement = self.connection.prepare(&format!(
            "SELECT name, bytes FROM files JOIN runs ON runs.id = run WHERE type = ?1 AND run IN ({good}) \
             ORDER BY started DESC"
        ))?;
        let mut rows = statement.query(all)?;
        while let Some(row) = rows.next()? {
            baseline.files.entry(row.get(0)?).or_default().push(row.get::<_, i64>(1)? as f64);
        }
        let mut statement = self.connection.prepare(&format!(
            "SELECT COUNT(*) FROM packages WHERE type = ?1 AND run IN ({good}) GROUP BY run"
        ))?;
        let mut rows = statement.query(all)?;
        while let Some(row) = rows.next()? {
            baseline.packages.push(row.get::<_, i64>(0)? as f64);
        }
        let mut statement = self.connection.prepare(&format!(
            "SELECT stages.step, accelerator, stage, at, took FROM stages \
             JOIN steps ON steps.run = stages.run AND steps.type = stages.type AND steps.step = stages.step \
             JOIN runs ON runs.id = stages.run \
             WHERE stages.type = ?1 AND accelerator IS NOT NULL AND stages.run IN ({good}) ORDER BY started DESC"
        ))?;
        let mut rows = statement.query(all)?;
        while let Some(row) = rows.next()? {
            let stage: String = row.get(2)?;
            let boots = baseline.boots.entry((row.get(0)?, row.get(1)?)).or_default();
            if stage == Stage::Login.to_string() {
                boots.login.push(row.get(3)?);
            }
            boots.stages.entry(stage).or_default().push(row.get(4)?);
        }
        Ok(baseline)
    }

    /// The runs before this one. The trends include this run.
    pub(crate) fn past(&self, results: &Results) -> Result<Past, Failure> {
        self.read_past(results).map_err(self.fault("read"))
    }

    fn read_past(&self, results: &Results) -> rusqlite::Result<Past> {
        let mut past = Past::default();
        let until = &results.run.started;
        let recent = "SELECT id FROM runs WHERE started <= ?1 ORDER BY started DESC LIMIT ?2";
        let mut statement = self.connection.prepare(&format!(
            "SELECT type, step, run, started, outcome, what, COALESCE(boot_seconds, steps.seconds) \
             FROM steps JOIN runs ON runs.id = run WHERE run IN ({recent}) ORDER BY started, run"
        ))?;
        let mut rows = statement.query(params![until, RUNS])?;
        while let Some(row) = rows.next()? {
            let outcome: String = row.get(4)?;
            past.steps.entry((row.get(0)?, row.get(1)?)).or_default().push(PastStep {
                run: row.get(2)?,
                started: row.get(3)?,
                outcome: StepOutcome::named(&outcome).unwrap_or(StepOutcome::Infrastructure),
                what: row.get(5)?,
                seconds: row.get(6)?,
            });
        }
        let mut statement = self.connection.prepare(&format!(
            "SELECT type, name, started, bytes FROM files JOIN runs ON runs.id = run WHERE run IN ({recent}) \
             ORDER BY started, run"
        ))?;
        let mut rows = statement.query(params![until, RUNS])?;
        while let Some(row) = rows.next()? {
            let size = PastSize { started: row.get(2)?, bytes: row.get::<_, i64>(3)?.unsigned_abs() };
            past.sizes.entry((row.get(0)?, row.get(1)?)).or_default().push(size);
        }
        for record in &results.types {
            if let Some(green) = self.last_green(&record.kind, &results.run.id, until)? {
                past.green.insert(record.kind.clone(), green);
            }
        }
        Ok(past)
    }

    fn last_green(&self, kind: &str, run: &str, until: &str) -> rusqlite::Result<Option<Green>> {
        let found = self
            .connection
            .query_row(
                "SELECT id, started, revision, ister FROM runs WHERE id != ?2 AND started <= ?3 \
                 AND EXISTS (SELECT 1 FROM steps WHERE run = id AND type = ?1) \
                 AND NOT EXISTS (SELECT 1 FROM steps WHERE run = id AND type = ?1 \
                                 AND outcome NOT IN ('passed', 'flaky')) \
                 ORDER BY started DESC LIMIT 1",
                params![kind, run, until],
                |row| {
                    Ok(Green {
                        run: row.get(0)?,
                        started: row.get(1)?,
                        revision: row.get(2)?,
                        ister: row.get(3)?,
                        packages: BTreeMap::new(),
                    })
                },
            )
            .optional()?;
        let Some(mut green) = found else { return Ok(None) };
        let mut statement =
            self.connection.prepare("SELECT name, version FROM packages WHERE run = ?1 AND type = ?2")?;
        for row in statement.query_map(params![green.run, kind], |row| Ok((row.get(0)?, row.get(1)?)))? {
            let (name, version) = row?;
            green.packages.insert(name, version);
        }
        Ok(Some(green))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imagetest::{FileRecord, RESULTS_VERSION, Record, StepKind, StepRecord, TestRun};

    fn results(id: &str, day: u32, outcome: StepOutcome, seconds: f64, version: &str) -> Results {
        let step = StepRecord {
            kind: StepKind::Build,
            name: "build".to_owned(),
            command: "ister build".to_owned(),
            outcome,
            seconds,
            what: String::new(),
            lines: Vec::new(),
            earlier: Vec::new(),
            boot: None,
        };
        Results {
            version: RESULTS_VERSION,
            run: TestRun {
                id: id.to_owned(),
                started: format!("2026-01-{day:02}T00:00:00Z"),
                seconds,
                revision: Some(format!("revision-{day}")),
                shard: None,
                planned: vec!["kvm".to_owned()],
                whole: Vec::new(),
                ister: "0".to_owned(),
            },
            types: vec![Record {
                kind: "kvm".to_owned(),
                steps: vec![step],
                files: vec![FileRecord { name: "kvm.img".to_owned(), format: "raw".to_owned(), bytes: 7 }],
                packages: BTreeMap::from([("linux".to_owned(), version.to_owned())]),
            }],
        }
    }

    #[test]
    fn recording_a_run_again_replaces_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.sqlite");
        let runs = [
            results("a", 1, StepOutcome::Passed, 10.0, "6.1"),
            results("b", 2, StepOutcome::Flaky, 30.0, "6.2"),
            results("c", 3, StepOutcome::Failed, 1.0, "6.3"),
        ];
        let mut history = History::open(&path).unwrap();
        for run in runs.iter().chain(&runs) {
            history.record(run).unwrap();
        }
        drop(history);
        let history = History::open(&path).unwrap();
        assert_eq!(history.seconds().unwrap(), BTreeMap::from([("kvm".to_owned(), 30.0)]));
        let past = history.past(&runs[2]).unwrap();
        let steps = &past.steps[&("kvm".to_owned(), "build".to_owned())];
        let outcomes: Vec<_> = steps.iter().map(|step| step.outcome).collect();
        assert_eq!(outcomes, [StepOutcome::Passed, StepOutcome::Flaky, StepOutcome::Failed]);
        assert_eq!(flaky(steps), (1, 3));
        let green = &past.green["kvm"];
        assert_eq!((green.run.as_str(), green.revision.as_deref()), ("b", Some("revision-2")));
        assert_eq!(green.packages["linux"], "6.2");
        assert_eq!(past.sizes.len(), 1);
        // Later runs are not part of a run's past.
        let past = history.past(&runs[0]).unwrap();
        assert_eq!((past.steps.values().map(Vec::len).sum::<usize>(), past.green.len()), (1, 0));
    }

    #[test]
    fn baseline_has_the_values_of_other_good_runs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.sqlite");
        // A database of version 1, which did not store the accelerator.
        let old = TABLES.replace(",\n    accelerator TEXT", "");
        assert_ne!(old, TABLES);
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(&old).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        drop(connection);
        let mut history = History::open(&path).unwrap();
        for (id, day, outcome, login) in [
            ("a", 1, StepOutcome::Passed, 30.0),
            ("b", 2, StepOutcome::Flaky, 31.0),
            ("c", 3, StepOutcome::Failed, 99.0),
            ("d", 4, StepOutcome::Passed, 32.0),
        ] {
            let mut run = results(id, day, outcome, 10.0, "6.1");
            run.types[0].steps.push(booted(login));
            history.record(&run).unwrap();
        }
        let baseline = history.baseline("kvm", "d").unwrap();
        assert_eq!(
            (&baseline.files["kvm.img"][..], &baseline.packages[..]),
            (&[7.0, 7.0][..], &[1.0, 1.0][..])
        );
        let boots = &baseline.boots[&("boot kvm.img".to_owned(), "TCG".to_owned())];
        assert_eq!((&boots.login[..], &boots.stages["login"][..]), (&[31.0, 30.0][..], &[0.5, 0.5][..]));
        assert_eq!(history.baseline("other", "d").unwrap(), Baseline::default());
    }

    fn booted(login: f64) -> StepRecord {
        let boot = serde_json::json!({
            "file": "kvm.img", "firmware": "uefi", "accelerator": "tcg", "hardware": {}, "class": "login-prompt",
            "seconds": login + 6.0, "stages": [{ "stage": "login", "at": login, "took": 0.5 }], "report": "kvm/r",
        });
        let boot = Some(serde_json::from_value(boot).unwrap());
        StepRecord {
            boot,
            name: "boot kvm.img".to_owned(),
            ..results("", 1, StepOutcome::Passed, 1.0, "").types[0].steps[0].clone()
        }
    }

    #[test]
    fn invalid_database_is_rejected() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("text");
        std::fs::write(&path, "no database at all, but long enough to be looked at for its header").unwrap();
        let failure = History::open(&path).err().unwrap().to_string();
        assert!(failure.contains("could not open the history"), "{failure}");
    }
}
