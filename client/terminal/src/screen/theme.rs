//! Colours: for dark and for light terminals, and none.

use clap::ValueEnum;
use ratatui::style::{Color, Modifier, Style};

/// Which colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colours {
    /// What the terminal tells (COLORFGBG), or dark.
    Auto,
    /// For dark terminals.
    Dark,
    /// For light terminals.
    Light,
    /// None: bold, dim and reversed text only.
    None,
}

/// How things look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Theme {
    pub(crate) frame: Style,
    pub(crate) selected: Style,
    pub(crate) unread: Style,
    pub(crate) own: Style,
    pub(crate) other: Style,
    pub(crate) dim: Style,
    pub(crate) read: Style,
    pub(crate) warning: Style,
}

impl Theme {
    /// `colourless`: NO_COLOR is set (no-color.org). `told`: COLORFGBG.
    pub(crate) fn new(wanted: Colours, colourless: bool, told: Option<&str>) -> Self {
        match wanted {
            Colours::Auto if colourless => Self::plain(),
            Colours::Auto if told.is_some_and(is_light) => Self::light(),
            Colours::Auto | Colours::Dark => Self::dark(),
            Colours::Light => Self::light(),
            Colours::None => Self::plain(),
        }
    }

    pub(crate) fn plain() -> Self {
        let (plain, bold) = (Style::new(), Style::new().add_modifier(Modifier::BOLD));
        let dim = Style::new().add_modifier(Modifier::DIM);
        let selected = Style::new().add_modifier(Modifier::REVERSED);
        Self {
            frame: dim,
            selected,
            unread: bold,
            own: plain,
            other: bold,
            dim,
            read: plain,
            warning: bold,
        }
    }

    fn dark() -> Self {
        Self {
            frame: Style::new().fg(Color::DarkGray),
            own: Style::new().fg(Color::LightCyan),
            other: Style::new().fg(Color::LightGreen),
            dim: Style::new().fg(Color::DarkGray),
            read: Style::new().fg(Color::LightBlue),
            unread: Style::new().fg(Color::LightYellow).add_modifier(Modifier::BOLD),
            warning: Style::new().fg(Color::LightRed).add_modifier(Modifier::BOLD),
            ..Self::plain()
        }
    }

    fn light() -> Self {
        Self {
            frame: Style::new().fg(Color::Gray),
            own: Style::new().fg(Color::Blue),
            other: Style::new().fg(Color::Green),
            dim: Style::new().fg(Color::DarkGray),
            read: Style::new().fg(Color::Blue),
            unread: Style::new().fg(Color::Magenta).add_modifier(Modifier::BOLD),
            warning: Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
            ..Self::plain()
        }
    }
}

/// Whether COLORFGBG (`foreground;background`) names a light background.
fn is_light(told: &str) -> bool {
    matches!(told.rsplit(';').next(), Some("7" | "15"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_colour_means_none_at_all() {
        let theme = Theme::new(Colours::Auto, true, Some("0;15"));
        let all = [theme.frame, theme.selected, theme.unread, theme.own, theme.other];
        for style in all.into_iter().chain([theme.dim, theme.read, theme.warning]) {
            assert_eq!((style.fg, style.bg), (None, None));
        }
        assert_eq!(Theme::new(Colours::Auto, false, Some("0;15")).own.fg, Some(Color::Blue));
        assert_eq!(Theme::new(Colours::Auto, false, Some("15;0")).own.fg, Some(Color::LightCyan));
        assert_eq!(Theme::new(Colours::Dark, true, None).own.fg, Some(Color::LightCyan));
    }
}
