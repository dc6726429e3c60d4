"""
What the network makes of every feature
=======================================

Friedman's first function is bent along three of its ten features, linear along two and constant along five. The
evidence of an additive model finds out which, and puts knots along those that are bent. Networks that see piecewise
linear functions between these knots join the average, and the error falls.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import make_friedman1
from sklearn.model_selection import train_test_split

from skgrow import FeatureEffectDisplay, GrowingRegressor

X, y = make_friedman1(1200, noise=1.0, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=0)

for encoding in (None, "auto"):
    model = GrowingRegressor(encoding=encoding, random_state=0).fit(X_train, y_train)
    print(f"encoding={encoding!r}: R2 {model.score(X_test, y_test):.3f}, layers {model.architecture_}")
print("knots of every feature:", [len(knots) for knots in model.knots_])

# %%
# Effects are averages over the data, about their means. Dots are knots. The function is
# :math:`10 \sin(\pi x_0 x_1) + 20 (x_2 - 1/2)^2 + 10 x_3 + 5 x_4` and noise of deviation one.

display = FeatureEffectDisplay.from_estimator(model, X_train)
display.figure_.suptitle("Effects of the features")
plt.show()
