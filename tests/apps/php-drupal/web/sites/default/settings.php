<?php return 'secret';
