"""A step that mends text which went through a wrong encoding."""

from __future__ import annotations

from bertinchamps.data.cleaning import Outcome, TextStep, steps


@steps.register("unicode")
def unicode() -> TextStep:
    """Undo mojibake ("dÃ©cÃ¨s"), HTML entities, terminal escapes and control characters (Speer, 2019, ftfy).

    Quotes, ligatures and widths stay as they are: those are the normaliser's to decide.
    """
    import ftfy

    rules = ftfy.TextFixerConfig(
        uncurl_quotes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        normalization=None,
        explain=False,
    )

    def step(text: str) -> Outcome:
        return ftfy.fix_text(text, rules)

    return step
