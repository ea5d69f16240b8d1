<?php

final class Drupal
{
    const VERSION = '10.0.0-look-alike';
}
