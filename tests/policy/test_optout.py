"""STOP and START: a whole message, in any shape a customer types it, and nothing that means something else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.optout import LANGUAGES, normalized, opt_word
from sessions_app.policy.optout_words import EVERYWHERE, WORDS

STOPS = [
    "STOP", "Stop!", " stop. ", "stop 🛑", "*STOP*", "ＳＴＯＰ", "𝐒𝐓𝐎𝐏", "s\u200btop", "Unsubscribe", "opt-out", "STOP\n",
    "Stop please", "please stop", "Stop, bitte!", "Bitte STOP, danke", "stop por favor", "Stop, merci", "Lütfen stop",
]  # fmt: skip
NOTHING = [
    "please", "thank you", "please stop the order, thanks",
    "please stop by at 8", "stop the order", "don't stop", "can you stop?", "cancel", "Cancel", "yes", "no", "", "🛑", "s t o p",
    "bus stop", "stopover", "start the grill at 8", "x" * 10_000, "stop " * 100,
]  # fmt: skip
BY_LANGUAGE = [
    ("de", "Stopp!", "stop"), ("de", "ABMELDEN", "stop"), ("de", "Anmelden", "start"), ("de", "Wir melden uns ab 8", None),
    ("es", "¡BAJA!", "stop"), ("es", "no mas mensajes", "stop"), ("es", "Alta", "start"), ("es", "cancelar", None),
    ("fr", "ARRET", "stop"), ("fr", "Arrêt.", "stop"), ("fr", "m’abonner", "start"), ("it", "Disiscrivimi", "stop"),
    ("it", "basta", None), ("pt-BR", "SAIR", "stop"), ("pt", "nao quero mais mensagens", "stop"), ("nl", "Afmelden", "stop"),
    ("tr", "ÇIK", "stop"), ("tr", "çık", "stop"), ("tr", "CIK", "stop"), ("tr", "DURDUR", "stop"), ("tr", "BAŞLAT", "start"),
    ("tr", "iptal", None), ("tr", "Dur!", None), ("de", "Stopp bitte", "stop"), ("de", "bitte", None),
    ("fr", "svp arrêtez", "stop"), ("ar", "إيقاف", "stop"), ("ar", "ايقاف", "stop"), ("ar", "تَوَقَّف", "stop"),
    ("ar", "ابدا", "start"),
    ("pl", "Rezygnuje", "stop"), ("pl", "REZYGNUJĘ!", "stop"), ("ru", "Стоп", "stop"), ("ru", "отписаться.", "stop"),
    ("ru", "СТАРТ", "start"),
]  # fmt: skip


@pytest.mark.parametrize("text", STOPS)
@pytest.mark.parametrize("languages", [(), ("tr",), ("de", "ru"), ("xx",)])
def test_stop_is_understood_everywhere(text: str, languages: tuple[str, ...]) -> None:
    assert opt_word(text, languages=languages) == "stop"


@pytest.mark.parametrize("text", ["START", "start!", "Unstop"])
def test_start_is_understood_everywhere(text: str) -> None:
    assert opt_word(text, languages=()) == "start"


@pytest.mark.parametrize("text", NOTHING, ids=range(len(NOTHING)))
def test_everything_else_is_a_message(text: str) -> None:
    assert opt_word(text, languages=LANGUAGES) is None


@pytest.mark.parametrize(("language", "text", "means"), BY_LANGUAGE)
def test_words_of_a_language(language: str, text: str, means: str | None) -> None:
    assert opt_word(text, languages=[language]) == means


def test_words_of_other_languages_mean_nothing() -> None:
    assert opt_word("afmelden", languages=["de"]) is None


def test_the_restaurants_own_words() -> None:
    assert opt_word("Ciao!", languages=["it"], stop=["ciao"]) == "stop"
    assert opt_word("Wieder da", languages=[], start=["wieder  DA!"]) == "start"
    assert opt_word("hm", languages=[], stop=["hm"], start=["hm"]) == "stop"
    assert opt_word("...", languages=[], stop=["!!!", " "]) is None


def test_no_word_means_both_in_any_mixture_of_languages() -> None:
    all_words = [EVERYWHERE, *WORDS.values()]
    stops = {normalized(word) for words, _ in all_words for word in words}
    starts = {normalized(word) for _, words in all_words for word in words}
    assert not stops & starts
    assert "" not in stops | starts


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_of_the_table_is_found(language: str) -> None:
    stops, starts = WORDS[language]
    assert {opt_word(word.upper(), languages=[language]) for word in stops} == {"stop"}
    assert {opt_word(f" {word.capitalize()}. ", languages=[language]) for word in starts} == {"start"}


@given(text=st.text(max_size=80))
def test_normalizing_twice_is_as_good_as_once(text: str) -> None:
    assert normalized(normalized(text)) == normalized(text)


@given(before=st.text(" .!*\n\t🙏", max_size=5), after=st.text(" .!*\n\t🙏", max_size=5))
def test_what_is_no_letter_around_it_does_not_matter(before: str, after: str) -> None:
    assert opt_word(f"{before}stop{after}", languages=[]) == "stop"


@given(word=st.text("abcdefghij", min_size=1, max_size=8))
def test_a_word_more_is_a_message(word: str) -> None:
    assert opt_word(f"stop {word}", languages=[]) is None
    assert opt_word(f"{word} stop", languages=[]) is None
