<?php

require dirname(__DIR__) . '/vendor/autoload.php';

header('Content-Type: text/plain');
echo (new App\Kernel())->answer(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH));
