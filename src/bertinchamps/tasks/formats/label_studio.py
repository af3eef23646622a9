"""Label Studio's JSON (https://labelstud.io/guide/task_format): a list of tasks, with annotations or predictions.

    [{"id": 7, "data": {"id": "P-7", "text": "Fracture du col"}, "annotations": [{"result": [
        {"from_name": "label", "to_name": "text", "type": "labels",
         "value": {"start": 0, "end": 15, "labels": ["DISO"]}}]}]}]

Annotations are read: of a task with several, the one that is marked as ground truth, or else the first one that was
not cancelled. What models predict is written as predictions, with a score each, and never read as annotations: an
annotator has not seen them yet. Offsets count characters (code points), as Label Studio counts them.

`from_name` and `to_name` are the names of the template "Named Entity Recognition" of Label Studio:

    <Labels name="label" toName="text">…</Labels> <Text name="text" value="$text"/>
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.tasks.formats import spans_jsonl
from bertinchamps.tasks.formats.json_lines import REJECTED
from bertinchamps.textfiles import json_lines
from bertinchamps.textfiles.bad_records import STOP, BadRecords
from bertinchamps.textfiles.json_lines import HALF, is_text
from bertinchamps.textfiles.limits import check_values, key, limits
from bertinchamps.textfiles.opening import unpacked

UNLABELLED = "documents that nobody annotated"
FURTHER = "further annotations of one document, by other annotators"
WANTED = (
    'a list of tasks, [{"data": {"text": …}, "annotations": [{"result": […]}]}, …], as Label Studio exports it with '
    "the format JSON (not JSON-MIN)"
)
REGION = '{"start": 0, "end": 5, "labels": ["DISO"]}'
LINE_END = "\\n"  # what `text` of a region has for a line end, in two characters


def read(path: Path, left_out: Counter[str] | None = None, bad: BadRecords = STOP) -> list[AnnotatedText]:
    """The annotated documents of an export, plain, `.gz` or `.zst`.

    A document is named by `id` of its data, or else by the id of its task.

    Args:
        path: the file.
        left_out: counts what was left out, by reason.
        bad: what is done with documents that cannot be read.

    Raises:
        UserError: the file is no such export, an offset does not fit its text, or a name occurs twice.
    """
    left_out = Counter() if left_out is None else left_out
    documents, places = list[AnnotatedText](), dict[str, int]()
    for number, task in enumerate(_tasks(path), start=1):
        with bad.record():
            documents += _document(path, number, task, places, left_out)
    if not (documents or bad.count):
        reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(left_out.items()))
        raise UserError(f"{path}: no annotated document in it{f' ({reasons})' if reasons else ''}")
    return documents


def _document(
    path: Path, number: int, task: Mapping[str, Any], places: dict[str, int], left_out: Counter[str]
) -> Iterator[AnnotatedText]:
    """The document of a task; none where nobody annotated it. `places` gets its name → its number."""
    where = f"{path}: task {number}"
    name, text = _name_and_text(task, where)
    chosen = _chosen(task, where, left_out)
    if chosen is None:
        return
    name = name or f"{path.name.split('.')[0]}-task-{number}"
    if name in places:
        raise UserError(f"{where}: its id is also that of task {places[name]}; give each its own")
    places[name] = number
    entities = list(_entities(chosen, text, where))
    seen = spans_jsonl.seen_in(text, entities, left_out)
    yield AnnotatedText(name, text, tuple(sorted(seen)))


def _tasks(path: Path) -> list[dict[str, Any]]:
    try:
        text = unpacked(path)
        check_values(text, str(path), limits().file_mb, key("file_mb"))
        content = json.loads(text)
    except json.JSONDecodeError as error:
        problem = f"{error.msg.split(':')[0]}, line {error.lineno}"
    except UnicodeDecodeError:
        problem = "not UTF-8"
    except (ValueError, RecursionError):
        problem = "a number of too many digits, or nested too deeply"
    else:
        if not isinstance(content, list) or not content or not all(map(_is_task, content)):
            raise UserError(f"{path}: not an export of Label Studio; expected is {WANTED}")
        return content
    raise UserError(f"{path}: cannot be read as JSON ({problem}); expected is {WANTED}")  # without the text


def _is_task(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("data"), dict)


def _name_and_text(task: Mapping[str, Any], where: str) -> tuple[str, str]:
    """The name, or "", and the text: `text` of the data, or its only text of whatever name."""
    data = task["data"]
    others = [value for key, value in data.items() if isinstance(value, str) and key != "id"]
    text = data.get("text", others[0] if len(others) == 1 else None)
    if not isinstance(text, str):
        raise UserError(f"{where}: no text under the key 'data.text'; rename the key of the text in the data")
    name = next((str(given) for given in (data.get("id"), task.get("id")) if _is_name(given)), "")
    if not is_text(text) or not is_text(name):
        raise UserError(f"{where}: the key 'data' {HALF}")
    return name, text


def _is_name(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and str(value) != ""


def _chosen(task: Mapping[str, Any], where: str, left_out: Counter[str]) -> list[Any] | None:
    """The result of the annotation that counts; None where there is none."""
    annotations = task.get("annotations", [])
    if not isinstance(annotations, list) or not all(isinstance(each, dict) for each in annotations):
        raise UserError(f"{where}: the key 'annotations' must hold a list of annotations")
    kept = [each for each in annotations if not each.get("was_cancelled")]
    if not kept:
        left_out[REJECTED if annotations else UNLABELLED] += 1
        return None
    if len(kept) > 1:
        left_out[FURTHER] += len(kept) - 1
    result = next((each for each in kept if each.get("ground_truth")), kept[0]).get("result")
    if not isinstance(result, list) or not all(isinstance(region, dict) for region in result):
        raise UserError(f"{where}: the key 'result' of its annotation must hold a list of regions")
    return result


def _entities(result: list[Any], text: str, where: str) -> Iterator[Entity]:
    """The labelled regions of a text; choices, relations and other results are no entities."""
    for place, region in enumerate(result):
        if region.get("type") not in ("labels", "hypertextlabels"):
            continue
        here = f"{where}: result[{place}]"
        value = region.get("value")
        value = value if isinstance(value, dict) else {}
        labels, offsets = value.get(region["type"]), [value.get("start"), value.get("end")]
        if "startOffset" in value:
            raise UserError(
                f"{here}: a region of HTML, whose offsets are those of a page; annotate plain text"
            )
        if not isinstance(labels, list) or not labels or not all(type(offset) is int for offset in offsets):
            raise UserError(f"{here}: not a labelled region of a text; its value is like {REGION}")
        written = value.get("text")
        written = written if isinstance(written, str) and LINE_END not in written else None
        for label in labels:
            spelt = {"start": offsets[0], "end": offsets[1], "label": label, "text": written}
            yield spans_jsonl.entity(spelt, text, here)


def write(path: Path, items: Iterable[Mapping[str, Any]], model: str | None = None) -> None:
    """A list of tasks, to be imported by Label Studio.

    Args:
        path: the file.
        items: documents, as `spans_jsonl.as_item` makes them, with other keys, which become data.
        model: the version of the model that found the entities; None: an annotator did.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("[")
        for number, item in enumerate(items):
            file.write(("," if number else "") + "\n" + json_lines.line(as_task(item, model)).rstrip("\n"))
        file.write("\n]\n")


def as_task(item: Mapping[str, Any], model: str | None) -> dict[str, Any]:
    """The task of a document; arguments as those of `write`. Each fragment of an entity is a region."""
    data = {key: value for key, value in item.items() if key != "entities"}
    found = spans_jsonl.ranges(item)
    result = [_region(number, item["text"], *each) for number, each in enumerate(found)]
    if model is None:
        return {"data": data, "annotations": [{"result": result}]}
    scores = [score for *_, score in found if score is not None]
    mean = {"score": round(sum(scores) / len(scores), spans_jsonl.DIGITS)} if scores else {}
    return {"data": data, "predictions": [{"model_version": model, **mean, "result": result}]}


def _region(number: int, text: str, start: int, end: int, label: str, score: float | None) -> dict[str, Any]:
    value = {"start": start, "end": end, "text": text[start:end], "labels": [label]}
    region = {"id": f"e{number}", "from_name": "label", "to_name": "text", "type": "labels", "value": value}
    return region if score is None else {**region, "score": score}
