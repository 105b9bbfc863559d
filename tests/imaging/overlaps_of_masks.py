import numpy as np
from scipy.spatial.distance import dice as distance


def dice(one, other):
    return 1 - distance(np.ravel(one) > 0, np.ravel(other) > 0)
