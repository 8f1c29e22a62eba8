//! The end of a process whose command line makes no sense, or asks for help only.

use std::ffi::OsString;
use std::io::{self, IsTerminal};

use crate::legible::{controls, plain_lines};

/// Prints why the command line makes no sense, or the help that was asked for, and ends the process. An error quotes words
/// of the command line: where these could control the terminal, it is printed without what does, and without colours.
pub(super) fn end(error: &clap::Error) -> ! {
    let is_evil = |word: OsString| word.to_string_lossy().chars().any(controls);
    if error.use_stderr() && io::stderr().is_terminal() && std::env::args_os().any(is_evil) {
        eprint!("{}", plain_lines(&error.render().to_string()));
        std::process::exit(error.exit_code());
    }
    error.exit()
}
