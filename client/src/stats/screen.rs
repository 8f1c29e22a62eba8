//! The terminal while the view has it: taken over, drawn on, listened to, and given back whatever happens.

use std::io;
use std::thread;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::{DefaultTerminal, Frame};
use tokio::sync::mpsc;

/// How often the thread that listens to the keys looks whether anybody still wants to hear of them.
const LOOK: Duration = Duration::from_millis(200);

/// What a person at the terminal wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// No more of this.
    Quit,
    /// The whole picture again: the window has another size.
    Redraw,
}

/// The terminal, in raw mode and with its second screen. Dropped, it is as it was before; so it is when the program
/// panics, before the message of the panic is printed.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal over.
    pub(super) fn take() -> io::Result<Self> {
        match ratatui::try_init() {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                ratatui::restore();
                Err(error)
            }
        }
    }

    /// Draws one picture; only what has changed is sent.
    pub(super) fn draw(&mut self, picture: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(picture).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A panic has done it already; to leave the second screen twice would overwrite what it said on the first.
        if !thread::panicking() {
            let _shown = self.terminal.show_cursor();
            ratatui::restore();
        }
    }
}

/// The wishes of whoever sits at the terminal, from a thread of their own; the channel closes when the terminal is gone.
pub(super) fn wishes() -> mpsc::UnboundedReceiver<Wish> {
    let (tell, wishes) = mpsc::unbounded_channel();
    thread::spawn(move || {
        while !tell.is_closed() {
            let wish = match event::poll(LOOK) {
                Ok(true) => event::read().map(|event| wish(&event)),
                Ok(false) => Ok(None),
                Err(error) => Err(error),
            };
            match wish {
                Ok(None) => {}
                Ok(Some(wish)) if tell.send(wish).is_ok() => {}
                Ok(Some(_)) | Err(_) => return,
            }
        }
    });
    wishes
}

fn wish(event: &Event) -> Option<Wish> {
    match event {
        Event::Resize(..) => Some(Wish::Redraw),
        Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) => match code {
            KeyCode::Char('q' | 'Q') | KeyCode::Esc => Some(Wish::Quit),
            // In raw mode it is a key, and no signal.
            KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Some(Wish::Quit),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_keys_quit_and_no_other() {
        let key = |code, modifiers| wish(&Event::Key(KeyEvent::new(code, modifiers)));
        for code in [KeyCode::Char('q'), KeyCode::Char('Q'), KeyCode::Esc] {
            assert_eq!(key(code, KeyModifiers::NONE), Some(Wish::Quit), "{code}");
        }
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Wish::Quit));
        for code in [KeyCode::Char('c'), KeyCode::Char('x'), KeyCode::Enter, KeyCode::Up] {
            assert_eq!(key(code, KeyModifiers::NONE), None, "{code}");
        }
        assert_eq!(wish(&Event::Resize(80, 24)), Some(Wish::Redraw));
    }
}
