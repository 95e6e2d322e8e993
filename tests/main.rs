//! Integration tests of the program and the library, in one test binary. Tests that boot images are in vm-tests.
//!
//! `cargo test --test suite -- verify::` runs one module. Tests whose requirements the host does not meet are
//! reported as `ignored`, with the reason; if `CI` is set, they fail.

mod archive;
mod build;
mod cli;
mod common;
mod devices;
mod editors;
mod features;
mod filesystems;
mod harness;
mod image_tests;
mod language_server;
mod laws;
mod lint;
mod manners;
mod media;
mod package_files;
mod packed;
mod pages;
mod pipelines;
mod plans;
mod prose;
mod provision;
mod publish;
mod readme;
mod sarif;
mod swupd;
mod validators;
mod verify;

use libtest_mimic::Arguments;

fn main() {
    harness::quiet_skips();
    let tests = [
        archive::tests(),
        build::tests(),
        cli::tests(),
        devices::tests(),
        editors::tests(),
        features::tests(),
        filesystems::tests(),
        image_tests::tests(),
        language_server::tests(),
        laws::tests(),
        lint::tests(),
        manners::tests(),
        media::tests(),
        package_files::tests(),
        packed::tests(),
        pages::tests(),
        pipelines::tests(),
        plans::tests(),
        prose::tests(),
        provision::tests(),
        publish::tests(),
        readme::tests(),
        sarif::tests(),
        swupd::tests(),
        validators::tests(),
        verify::tests(),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests.into_iter().flatten().collect()).exit();
}
