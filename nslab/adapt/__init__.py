"""Source-free adaptation: a finished network learns another domain from unlabelled images.

`nslab.adapt.shot` has the method as pure functions, for your own training loop; an `AdaptConfig`
is a run like any other.
"""

from nslab.adapt.adaptation import adapt
from nslab.adapt.shot import Shot, information_maximisation, pseudo_labels

__all__ = ["Shot", "adapt", "information_maximisation", "pseudo_labels"]
