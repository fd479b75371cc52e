"""A user's own network or loss, made known to runs under a digest of its code."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, make_dataclass
from functools import partial
from typing import Any

from torch import nn

from nslab.configs.serialization import classes
from nslab.networks import NETWORKS, check_network
from nslab.objectives import NS, OBJECTIVES
from nslab.objectives.checks import check_loss
from nslab.objectives.weighted import PlainLoss
from nslab.system.code_digest import code_digest
from nslab.system.content_names import content_name, parse_content_name
from nslab.system.validation import unknown
from nslab.types import ImageShape, ObjectiveConfig

# Names of parameters that are certainly not a number of classes (NO_CLASSES), certainly not a shape
# of images (NO_SHAPE), probably a shape (SHAPES), or a number of classes (CLASSES).
NO_CLASSES = re.compile(
    r"(?!.*(class|label|target|final|(^|_)out)).*(hidden|width|depth|channel|layer|block|d_model|"
    r"embed|kernel|feature|dropout|(^|_)in_|input|image|shape)"
)
NO_SHAPE = re.compile(NO_CLASSES.pattern + r"|(?!.*(class|label|(^|_)out)).*(dim|unit|head|scale)")
SHAPES = re.compile(r"(?!.*(channel|feature|hidden|embed|kernel)).*(shape|size|input|image)")
CLASSES = re.compile(r"(num|n|nb)_?(classes|labels)|classes")
NOT_BY_NAME = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_KEYWORD)


def callable_name(value: Any) -> str:
    """The name of a function or class; for a partial, of the function inside; for an object, of its
    class.

    >>> callable_name(partial(print, end="")), callable_name(lambda: None)
    ('print', 'lambda')
    """
    while isinstance(value, partial):
        value = value.func
    return str(getattr(value, "__name__", "") or type(value).__name__).strip("<>")


def network_name(model: Any) -> str:
    """The name by which runs build a network: a key of ``NETWORKS`` as it is; for a subclass of
    ``nn.Module`` or a function that returns a network, a name with the digest of its code.

    With no required parameter it is called without arguments, with one it gets the number of
    classes, with two the images' shape (channels, height, width) and the number of classes. A
    parameter ``num_classes`` with a default gets the number of classes, too. One that reads texts
    has an attribute ``for_texts = True``; its shape is (tokens, ids). Raises ``ValueError`` for an
    unknown key, a network that is built already, and anything else.
    """
    if isinstance(model, str):
        check_network(model)
        return model
    if isinstance(model, nn.Module):
        raise ValueError(
            f"give the class, or a function that makes the network, not a {type(model).__name__} "
            "that is made: each seed needs weights of its own, as with model=lambda: Net(10)"
        )
    if not callable(model):
        raise ValueError(f"model is {model!r}: give a name, a class of nn.Module or a function")
    # a lambda stays <lambda>, as in runs of earlier versions; tables show it without the brackets
    name = getattr(model, "__name__", callable_name(model))
    name = content_name("module", name, code_digest(model))
    # always the newest, since its attributes are not in the digest
    NETWORKS[name] = network_builder(model)
    return name


def network_builder(model: Callable[..., nn.Module]) -> Callable[[ImageShape, int], nn.Module]:
    """A function with the signature of those in ``NETWORKS`` that calls ``model``, see
    `network_name`; ``num_classes`` is not passed if a partial has set it."""
    signature = inspect.signature(model).parameters
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [
        p for p in signature.values() if p.default is inspect.Parameter.empty and p.kind in kinds
    ]
    if len(needed) > 2:
        raise ValueError(
            f"{callable_name(model)} needs {len(needed)} arguments: write a function "
            "of the images' shape (channels, height, width) and the number of classes, or of fewer"
        )

    named = signature.get("num_classes")
    optional = named is not None and named not in needed and named.kind not in NOT_BY_NAME
    by_name = optional and len(needed) < 2 and "num_classes" not in getattr(model, "keywords", {})
    if callable_name(model) != "lambda":  # a lambda's author named its parameters for this purpose
        _check_names(callable_name(model), [p.name for p in needed], by_name)

    def build(shape: ImageShape, num_classes: int) -> nn.Module:
        if by_name:
            made = model(*[shape] * len(needed), num_classes=num_classes)
        else:
            made = model(*(shape, num_classes)[2 - len(needed) :])
        if not isinstance(made, nn.Module):
            raise ValueError(f"{model!r} made a {type(made).__name__}, not an nn.Module")
        return made

    maker = model.func if isinstance(model, partial) else model
    build.__module__ = getattr(maker, "__module__", "__main__")
    build.for_texts = _for_texts(model)  # type: ignore[attr-defined]
    return build


def _check_names(name: str, needed: list[str], by_name: bool) -> None:
    """``ValueError``, with the function to write, if the names of parameters show that they are not
    meant for what they would get: the shape of images, or the number of classes."""
    shape = needed[0] if len(needed) == 2 or (needed and by_name) else ""
    classes = needed[-1] if needed and not by_name else ""
    no_shape = NO_SHAPE.match(shape) and not SHAPES.match(shape)
    if no_shape or CLASSES.fullmatch(shape):
        wrong, gets = shape, "shape of images"
    elif NO_CLASSES.match(classes):
        wrong, gets = classes, "number of classes"
    else:
        return
    fitting = {n: "classes" for n in needed if CLASSES.fullmatch(n)}
    arguments = ", ".join(f"{n}={fitting.get(n, '...')}" for n in needed)
    more = ", num_classes=classes" if by_name else ""
    raise ValueError(
        f"{name} needs {wrong}, and would get the {gets} for it: give its value, "
        f"model=lambda classes: {name}({arguments}{more})"
    )


def _for_texts(model: Any) -> bool:
    """Whether a function or class, or the one inside a partial, is marked as one for texts."""
    while isinstance(model, partial) and not hasattr(model, "for_texts"):
        model = model.func
    return bool(getattr(model, "for_texts", False))


@dataclass(frozen=True)
class _FunctionLoss(PlainLoss):
    """A loss that is a plain function of logits and labels."""


def check_frozen(cls: type) -> None:
    """``ValueError``, naming class and file, unless values of the class can be part of a config."""
    if problem := OBJECTIVES.check("", cls):
        try:
            place = f" in {inspect.getsourcefile(cls)}"
        except (TypeError, OSError):
            place = ""
        problem = problem.removesuffix(", below register")
        raise ValueError(f"the class {cls.__qualname__}{place} is no objective: {problem}")


def default_instance(cls: type) -> Any:
    """A value of a class with its defaults; ``ValueError`` if a field has no default."""
    try:
        return cls()
    except TypeError as error:
        raise ValueError(
            f"give a value, such as {cls.__name__}(...), not the class: {error}"
        ) from None


def objective_of(method: Any) -> ObjectiveConfig:
    """An objective: a key of ``OBJECTIVES``, a value of any class of objectives, or a function of
    logits (n, k) and labels (n,) that gives the loss of each sample (n,).

    A class of your own that is in no registry is known by the digest of its code. Raises
    ``ValueError`` for anything else, and for a loss that a check of it refuses.
    """
    if isinstance(method, str):
        if method not in OBJECTIVES:
            raise unknown("objective", method, OBJECTIVES)
        return OBJECTIVES[method]()
    if isinstance(method, type):
        method = default_instance(method)
    if not hasattr(method, "build"):
        if not callable(method):
            raise ValueError(f"{method!r} is no objective: it has no method build, see nslab.NS")
        check_loss(method)
        name, function = getattr(method, "__name__", "loss"), method
        key = content_name("loss", name, code_digest(method))
        if key not in OBJECTIVES:
            form = make_dataclass(callable_name(method), [], bases=(_FunctionLoss,), frozen=True)
            form.__module__ = getattr(method, "__module__", "__main__")
            OBJECTIVES[key] = form
        newest: Any = OBJECTIVES[key]
        newest.own_function = staticmethod(function)
        newest.loss = lambda self, logits, y: function(logits, y)
        return newest()
    cls = type(method)
    check_frozen(cls)
    if hasattr(method, "loss") and not isinstance(method, NS):  # the loss of NS needs a model
        check_loss(method.loss)
    known = [key for key, value in classes().items() if value is cls]
    # in no registry, or under a digest that may be outdated
    if all(map(parse_content_name, known)):
        key = content_name("loss", cls.__name__, code_digest(cls))
        if key not in OBJECTIVES:
            for old in known:
                del OBJECTIVES[old]
            OBJECTIVES[key] = cls
        if OBJECTIVES[key] is not cls:  # the same code, defined again
            fields = {name: getattr(method, name) for name in cls.__dataclass_fields__}
            return OBJECTIVES[key](**fields)
    objective: ObjectiveConfig = method
    return objective
