"""What a Keras file may name: classes and functions of Keras that hold numbers and names only.

Left out, and so refused: `Lambda` (Python code), layers that wrap other frameworks (`TorchModuleWrapper`,
`JaxLayer`, `FlaxLayer`, `TFSMLayer`), layers that read vocabularies from files, and every class that is not part of
Keras.
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


MODELS = _names(
    """
    Functional Model Sequential
    """
)

LAYERS = _names(
    """
    Activation ActivityRegularization AdaptiveAveragePooling2D AdaptiveMaxPooling2D Add AdditiveAttention
    AlphaDropout Attention Average AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization
    Bidirectional CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose
    Convolution1D Convolution2D Convolution3D Cropping1D Cropping2D Cropping3D Dense DepthwiseConv1D DepthwiseConv2D
    Dot Dropout ELU EinsumDense Embedding Flatten GRU GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D
    GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
    GroupNormalization GroupQueryAttention Identity InputLayer LSTM LSTMCell LayerNormalization LeakyReLU Masking
    MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum MultiHeadAttention Multiply Normalization PReLU Permute
    RMSNormalization RNN RandomBrightness RandomContrast RandomCrop RandomErasing RandomFlip RandomHue
    RandomRotation RandomSaturation RandomShear RandomTranslation RandomZoom ReLU RepeatVector Rescaling Reshape
    Resizing SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell Softmax SpatialDropout1D SpatialDropout2D
    SpatialDropout3D SpectralNormalization StackedRNNCells Subtract ThresholdedReLU TimeDistributed
    UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """
)

OPERATIONS = _names(
    """
    Clip Divide Gelu GetItem HardSigmoid HardSilu HardSwish Max Mean Min Negative Power Relu Relu6 Sigmoid Silu Sqrt
    Square Sum Swish Tanh Transpose TrueDivide
    """
)
"""Of `keras.ops`, which a functional model may contain as layers."""

APPLICATION_LAYERS = _names(
    """
    LayerScale StochasticDepth
    """
)
"""Of `keras.applications.convnext`."""

PARTS = _names(
    """
    Constant DTypePolicy GlorotNormal GlorotUniform HeNormal HeUniform IdentityInitializer L1 L1L2 L2 LecunNormal
    LecunUniform MaxNorm MinMaxNorm NonNeg Ones Orthogonal OrthogonalInitializer OrthogonalRegularizer Policy
    RandomNormal RandomUniform SeedGenerator TruncatedNormal UnitNorm VarianceScaling Zeros __ellipsis__
    __keras_tensor__ __numpy__ __slice__ __tensor__
    """
)
"""Initializers, regularizers, constraints, types and values."""

OPTIMIZERS = _names(
    """
    Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lion Muon Nadam RMSprop SGD ScheduleFreeAdamW
    """
)

LOSSES = _names(
    """
    BinaryCrossentropy BinaryFocalCrossentropy CategoricalCrossentropy CategoricalFocalCrossentropy CategoricalHinge
    CosineSimilarity Dice Hinge Huber KLDivergence LogCosh MeanAbsoluteError MeanAbsolutePercentageError
    MeanSquaredError MeanSquaredLogarithmicError Poisson SparseCategoricalCrossentropy SquaredHinge Tversky
    binary_crossentropy binary_focal_crossentropy categorical_crossentropy categorical_focal_crossentropy
    categorical_hinge cosine_similarity dice hinge huber kl_divergence kld log_cosh mae mape mean_absolute_error
    mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error mse msle poisson
    sparse_categorical_crossentropy squared_hinge tversky
    """
)

FUNCTIONS = _names(
    """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear
    log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus
    sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold
    """
)
"""Activations."""

CLASSES = MODELS | LAYERS | APPLICATION_LAYERS | OPERATIONS | PARTS
